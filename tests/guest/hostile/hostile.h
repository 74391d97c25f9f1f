/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that does to its machine what no driver does: a freestanding program
 * in 32-bit protected mode without paging (as PVH starts it), that writes
 * noise to everything it can reach. It keeps to addresses that do not hurt
 * itself, so that it gets far; whatever happens, it harms nobody else.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <stdbool.h>
#include <stdint.h>

/* Memory that it lends to devices: 16 MiB from 16 MiB on. All of it is below RAM_END. */
#define ARENA 0x1000000u
#define ARENA_SIZE 0x1000000u
#define RAM_END 0x4000000u

struct function {
	uint8_t device;
	uint16_t vendor, id;
	uint32_t bar[6], bar_size[6]; /* memory BARs, where they are now */
	uint8_t msix_bar;             /* 6: none */
	uint32_t msix_offset, msix_vectors;
};

static inline void out8(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out16(uint16_t port, uint16_t value)
{
	asm volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out32(uint16_t port, uint32_t value)
{
	asm volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint16_t in16(uint16_t port)
{
	uint16_t value;

	asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint32_t in32(uint16_t port)
{
	uint32_t value;

	asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

/* Device memory, of any width and alignment. */
static inline void poke(uint32_t addr, unsigned width, uint32_t value)
{
	if (width == 1)
		*(volatile uint8_t *)addr = value;
	else if (width == 2)
		*(volatile uint16_t *)addr = value;
	else
		*(volatile uint32_t *)addr = value;
}

static inline uint32_t peek(uint32_t addr, unsigned width)
{
	if (width == 1)
		return *(volatile uint8_t *)addr;
	if (width == 2)
		return *(volatile uint16_t *)addr;
	return *(volatile uint32_t *)addr;
}

uint32_t noise(void);                   /* 32 bits */
uint32_t noise_below(uint32_t limit);   /* 0 to limit - 1 */
uint32_t noise_value(void);             /* small, large, a bit, all ones: what trips programs up */
void say(const char *text);
void say_number(uint32_t number);

/* pci.c */
uint32_t pci_read(unsigned device, unsigned offset);
void pci_write(unsigned device, unsigned offset, uint32_t value);
unsigned pci_find(struct function *functions, unsigned max);
void pci_attack(struct function *functions, unsigned count);
void msix_attack(const struct function *function);
void bar_attack(const struct function *function);

/* virtio.c */
void virtio_attack(const struct function *function);

/* main.c */
void hostile_main(const uint32_t *start_info);
void hostile_exception(uint32_t vector);

#endif
