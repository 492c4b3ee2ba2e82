/**
 * Where the fields of KVM's interrupt controllers and 8254 are, in bytes. No behaviour.
 * Linux documentation, "The Definitive KVM API Documentation", KVM_GET_IRQCHIP, KVM_GET_PIT2; `<asm/kvm.h>`.
 */

/** struct kvm_irqchip: which, padding, then the chip. */
export const IRQCHIP_SIZE = 520;
export const IRQCHIP_CHIP = 8;
export const CHIP_PIC_MASTER = 0;
export const CHIP_PIC_SLAVE = 1;
export const CHIP_IOAPIC = 2;

/** struct kvm_pic_state: one byte each. */
export const PIC = {
  LAST_IRR: 0,
  IRR: 1,
  IMR: 2,
  ISR: 3,
  PRIORITY_ADD: 4,
  IRQ_BASE: 5,
  READ_REG_SELECT: 6,
  POLL: 7,
  SPECIAL_MASK: 8,
  INIT_STATE: 9,
  AUTO_EOI: 10,
  ROTATE_ON_AUTO_EOI: 11,
  SPECIAL_FULLY_NESTED: 12,
  INIT4: 13,
  ELCR: 14,
  ELCR_MASK: 15,
} as const;

/** struct kvm_ioapic_state: address u64, then u32 each, then the table of u64. */
export const IOAPIC = { BASE: 0, SELECT: 8, ID: 12, IRR: 16, TABLE: 24 } as const;
export const IOAPIC_BASE = 0xfec00000;
export const IOAPIC_PINS = 24;

/** struct kvm_pit_state2: three channels, then flags u32. */
export const PIT_SIZE = 112;
export const PIT_CHANNEL_SIZE = 24;
export const PIT_CHANNELS = 3;
export const PIT_FLAGS = 72;
export const PIT_FLAG_HPET_LEGACY = 1;
export const PIT_FLAG_SPEAKER = 2;
/** struct kvm_pit_channel_state. */
export const CHANNEL = {
  COUNT: 0,
  LATCHED_COUNT: 4,
  COUNT_LATCHED: 6,
  STATUS_LATCHED: 7,
  STATUS: 8,
  READ_STATE: 9,
  WRITE_STATE: 10,
  WRITE_LATCH: 11,
  RW_MODE: 12,
  MODE: 13,
  BCD: 14,
  GATE: 15,
  LOAD_TIME: 16,
} as const;
/** Of READ_STATE, WRITE_STATE, COUNT_LATCHED: the first and second byte of both. */
export const STATE_LEAST = 1;
export const STATE_MOST = 2;
export const STATE_BOTH = 3;
export const STATE_SECOND = 4;

/** struct kvm_pit_config: flags, padding. */
export const PIT_CONFIG_SIZE = 64;
export const PIT_SPEAKER = 1;
/** struct kvm_reinject_control: one byte, padding. */
export const REINJECT_SIZE = 32;
/** struct kvm_irq_level: line u32, level u32. */
export const IRQ_LEVEL_SIZE = 8;
/** kvm_irq_routing_entry.type. */
export const ROUTING_IRQCHIP = 1;
