// Repeated string instructions and string input and output.
export { repCmps, repScas } from './compare';
export { repLods, repMovs, repStos } from './move';
export { stringIn, stringOut } from './port';
