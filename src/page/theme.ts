/** Colours of the terminal for light and dark surroundings; style.css has those of everything around it. */
import type { ITheme } from '@xterm/xterm';

const DARK: ITheme = {
  background: '#101317',
  foreground: '#e3e7ec',
  cursor: '#4cc3de',
  cursorAccent: '#101317',
  selectionBackground: '#2f4a5c',
  scrollbarSliderBackground: '#98a2af33',
  scrollbarSliderHoverBackground: '#98a2af66',
  scrollbarSliderActiveBackground: '#98a2af88',
  black: '#1d232b',
  red: '#ff8073',
  green: '#4ac26b',
  yellow: '#e5b44a',
  blue: '#6cabf7',
  magenta: '#d49af0',
  cyan: '#4cc3de',
  white: '#c9d1d9',
  brightBlack: '#7d8794',
  brightRed: '#ffa198',
  brightGreen: '#7ee093',
  brightYellow: '#f5d07a',
  brightBlue: '#99c5fb',
  brightMagenta: '#e4bbf7',
  brightCyan: '#85dcef',
  brightWhite: '#ffffff',
};

const LIGHT: ITheme = {
  background: '#fbfbfa',
  foreground: '#1f2328',
  cursor: '#0e7490',
  cursorAccent: '#fbfbfa',
  selectionBackground: '#b8dfe9',
  scrollbarSliderBackground: '#5b636d33',
  scrollbarSliderHoverBackground: '#5b636d66',
  scrollbarSliderActiveBackground: '#5b636d88',
  black: '#1f2328',
  red: '#b42318',
  green: '#15803d',
  yellow: '#8f5a00',
  blue: '#1d5fc4',
  magenta: '#8a3fae',
  cyan: '#0e7490',
  white: '#6b727b',
  brightBlack: '#5b636d',
  brightRed: '#d0352a',
  brightGreen: '#1a9147',
  brightYellow: '#a16a00',
  brightBlue: '#3578e0',
  brightMagenta: '#a356c9',
  brightCyan: '#1389a8',
  brightWhite: '#3d444c',
};

/** Calls back at once and whenever the user's preference changes. */
export function followColorScheme(apply: (theme: ITheme) => void): void {
  const query = matchMedia('(prefers-color-scheme: dark)');
  const update = (): void => apply(query.matches ? DARK : LIGHT);
  query.addEventListener('change', update);
  update();
}
