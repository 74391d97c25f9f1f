/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/chipset/serial.h"

#include <pthread.h>

#include "base/thread.h"
#include "state/state.h"

#define IRQ_COM1 4

enum { REG_DATA, REG_IER, REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

#define IER_RECEIVED 0x01u
#define IER_THR_EMPTY 0x02u
#define IER_LINE 0x04u
#define IIR_NONE 0x01u
#define IIR_THR_EMPTY 0x02u
#define IIR_RECEIVED 0x04u
#define IIR_LINE 0x06u
#define IIR_TIMEOUT 0x0cu
#define FCR_ENABLE 0x01u
#define FCR_CLEAR_RX 0x02u
#define LCR_DIVISOR 0x80u
#define MCR_OUT2 0x08u
#define MCR_LOOP 0x10u
#define LSR_READY 0x01u
#define LSR_OVERRUN 0x02u
#define LSR_BREAK 0x10u
#define LSR_ERRORS 0x1eu
#define LSR_EMPTY 0x60u   /* holding and shift register: output is instantaneous */
#define MSR_PRESENT 0xb0u /* DCD, DSR, CTS: somebody is there */

struct serial {
	struct board *board;
	struct mutex lock; /* all that follows */
	uint8_t ier, fcr, lcr, mcr, lsr, scr;
	uint16_t divisor;
	uint8_t fifo[SERIAL_FIFO];
	unsigned head, count;
	bool thr_empty_irq, irq;
	bool starved; /* input was refused; room is to be told */
};

static unsigned fifo_capacity(const struct serial *serial) REQUIRES(serial->lock)
{
	return serial->fcr & FCR_ENABLE ? SERIAL_FIFO : 1;
}

static unsigned interrupt_id(const struct serial *serial) REQUIRES(serial->lock)
{
	static const uint8_t trigger[4] = {1, 4, 8, 14};
	unsigned enough = serial->fcr & FCR_ENABLE ? trigger[serial->fcr >> 6] : 1;

	if ((serial->ier & IER_LINE) && (serial->lsr & LSR_ERRORS))
		return IIR_LINE;
	/* Bytes below the trigger level time out at once: there is no line speed to wait for. */
	if ((serial->ier & IER_RECEIVED) && serial->count)
		return serial->count >= enough ? IIR_RECEIVED : IIR_TIMEOUT;
	if ((serial->ier & IER_THR_EMPTY) && serial->thr_empty_irq)
		return IIR_THR_EMPTY;
	return IIR_NONE;
}

static void update_line(struct serial *serial) REQUIRES(serial->lock)
{
	bool irq = (serial->mcr & MCR_OUT2) && interrupt_id(serial) != IIR_NONE;

	if (irq == serial->irq)
		return;
	serial->irq = irq;
	board_irq(serial->board, IRQ_COM1, irq);
}

static void fifo_push(struct serial *serial, uint8_t byte) REQUIRES(serial->lock)
{
	if (serial->count == fifo_capacity(serial)) {
		serial->lsr |= LSR_OVERRUN;
		return;
	}
	serial->fifo[(serial->head + serial->count++) % SERIAL_FIFO] = byte;
}

static void tell_room(struct serial *serial) REQUIRES(serial->lock)
{
	if (!serial->starved || serial->count == fifo_capacity(serial))
		return;
	serial->starved = false;
	if (serial->board->owner->serial_room)
		serial->board->owner->serial_room(serial->board->ctx);
}

static uint8_t fifo_pop(struct serial *serial) REQUIRES(serial->lock)
{
	uint8_t byte = 0;

	if (serial->count) {
		byte = serial->fifo[serial->head];
		serial->head = (serial->head + 1) % SERIAL_FIFO;
		serial->count--;
	}
	/* Only when it is empty: a wake-up for each byte would cost more than the byte. */
	if (!serial->count)
		tell_room(serial);
	return byte;
}

static uint8_t modem_status(const struct serial *serial) REQUIRES(serial->lock)
{
	uint8_t mcr = serial->mcr;

	if (!(mcr & MCR_LOOP))
		return MSR_PRESENT;
	/* DTR to DSR, RTS to CTS, OUT1 to RI, OUT2 to DCD. */
	return (mcr & 1) << 5 | (mcr & 2) << 3 | (mcr & 4) << 4 | (mcr & 8) << 4;
}

static uint64_t serial_read(void *ctx, uint64_t reg, unsigned size)
{
	struct serial *serial = ctx;
	uint8_t value = 0;

	mutex_assert_held(&serial->lock);
	switch (reg) {
	case REG_DATA:
		value = serial->lcr & LCR_DIVISOR ? serial->divisor & 0xff : fifo_pop(serial);
		break;
	case REG_IER:
		value = serial->lcr & LCR_DIVISOR ? serial->divisor >> 8 : serial->ier;
		break;
	case REG_IIR:
		value = interrupt_id(serial);
		if (value == IIR_THR_EMPTY)
			serial->thr_empty_irq = false;
		if (serial->fcr & FCR_ENABLE)
			value |= 0xc0;
		break;
	case REG_LCR:
		value = serial->lcr;
		break;
	case REG_MCR:
		value = serial->mcr;
		break;
	case REG_LSR:
		value = serial->lsr | LSR_EMPTY | (serial->count ? LSR_READY : 0);
		serial->lsr &= ~LSR_ERRORS;
		break;
	case REG_MSR:
		value = modem_status(serial);
		break;
	case REG_SCR:
		value = serial->scr;
		break;
	}
	update_line(serial);
	return value;
}

static void transmit_byte(struct serial *serial, uint8_t byte) REQUIRES(serial->lock)
{
	if (serial->mcr & MCR_LOOP)
		fifo_push(serial, byte);
	else if (serial->board->owner->serial_output)
		serial->board->owner->serial_output(serial->board->ctx, &byte, 1);
	/* The line falls and rises again, so that an edge tells of the empty register. */
	serial->thr_empty_irq = false;
	update_line(serial);
	serial->thr_empty_irq = true;
}

static void fifo_control(struct serial *serial, uint8_t value) REQUIRES(serial->lock)
{
	if ((value ^ serial->fcr) & FCR_ENABLE)
		value |= FCR_CLEAR_RX;
	serial->fcr = value & FCR_ENABLE ? value & 0xc9 : 0;
	if (value & FCR_CLEAR_RX) {
		serial->count = serial->head = 0;
		tell_room(serial);
	}
}

static void serial_write(void *ctx, uint64_t reg, unsigned size, uint64_t value)
{
	struct serial *serial = ctx;

	mutex_assert_held(&serial->lock);
	switch (reg) {
	case REG_DATA:
		if (serial->lcr & LCR_DIVISOR)
			serial->divisor = (serial->divisor & 0xff00) | value;
		else
			transmit_byte(serial, value);
		break;
	case REG_IER:
		if (serial->lcr & LCR_DIVISOR) {
			serial->divisor = (serial->divisor & 0xff) | value << 8;
			break;
		}
		if (!(serial->ier & IER_THR_EMPTY) && (value & IER_THR_EMPTY))
			serial->thr_empty_irq = true;
		serial->ier = value & 0x0f;
		break;
	case REG_IIR:
		fifo_control(serial, value);
		break;
	case REG_LCR:
		serial->lcr = value;
		break;
	case REG_MCR:
		serial->mcr = value & 0x1f;
		break;
	case REG_SCR:
		serial->scr = value;
		break;
	}
	update_line(serial);
}

static const struct bus_ops serial_ops = {.read = serial_read, .write = serial_write, .sizes = 1};

size_t serial_input(struct serial *serial, const uint8_t *data, size_t len)
{
	size_t taken = 0;

	mutex_lock(&serial->lock);
	if (!(serial->mcr & MCR_LOOP))
		while (taken < len && serial->count < fifo_capacity(serial))
			fifo_push(serial, data[taken++]);
	serial->starved = taken < len;
	update_line(serial);
	mutex_unlock(&serial->lock);
	return taken;
}

void serial_break(struct serial *serial)
{
	mutex_lock(&serial->lock);
	if (serial->count < fifo_capacity(serial)) {
		fifo_push(serial, 0);
		serial->lsr |= LSR_BREAK;
		update_line(serial);
	}
	mutex_unlock(&serial->lock);
}

bool serial_break_then(struct serial *serial, uint8_t byte)
{
	bool room;

	mutex_lock(&serial->lock);
	/* An empty FIFO, so that the guest takes the break for that of the first byte. */
	room = (serial->ier & IER_RECEIVED) && !serial->count && fifo_capacity(serial) >= 2;
	if (room) {
		fifo_push(serial, 0);
		serial->lsr |= LSR_BREAK;
		fifo_push(serial, byte);
		update_line(serial);
	}
	mutex_unlock(&serial->lock);
	return room;
}

/* On the board */

static void serial_reset(void *device)
{
	struct serial *serial = device;

	mutex_lock(&serial->lock);
	serial->ier = serial->fcr = serial->lcr = serial->mcr = serial->lsr = serial->scr = 0;
	serial->divisor = 12;
	serial->head = serial->count = 0;
	serial->thr_empty_irq = false;
	tell_room(serial);
	update_line(serial);
	mutex_unlock(&serial->lock);
}

static void serial_describe(void *device, struct state *s)
{
	struct serial *serial = device;
	uint8_t head, count;

	mutex_lock(&serial->lock);
	head = serial->head;
	count = serial->count;
	state_begin(s, "serial", 0, 1);
	state_u8(s, "ier", &serial->ier);
	state_u8(s, "fcr", &serial->fcr);
	state_u8(s, "lcr", &serial->lcr);
	state_u8(s, "mcr", &serial->mcr);
	state_u8(s, "lsr", &serial->lsr);
	state_u8(s, "scr", &serial->scr);
	state_u16(s, "divisor", &serial->divisor);
	state_bytes(s, "fifo", serial->fifo, sizeof serial->fifo);
	state_u8(s, "fifo_head", &head);
	state_u8(s, "fifo_count", &count);
	state_bool(s, "thr_empty_irq", &serial->thr_empty_irq);
	state_bool(s, "irq", &serial->irq);
	state_require(s, head < SERIAL_FIFO && count <= SERIAL_FIFO, "more bytes than fit");
	state_end(s);
	if (state_loading(s) && state_ok(s)) {
		serial->head = head;
		serial->count = count;
		tell_room(serial);
	}
	mutex_unlock(&serial->lock);
}

static int serial_init(void *device, struct board *board, struct error *err)
{
	struct serial *serial = device;

	mutex_init(&serial->lock);
	serial->board = board;
	serial->divisor = 12;
	return bus_map(&board->io, SERIAL_COM1, 8, &serial_ops, serial, &serial->lock);
}

static void serial_destroy(void *device)
{
	struct serial *serial = device;

	mutex_destroy(&serial->lock);
}

const struct board_device serial_com1_device = {
	.name = "serial port",
	.size = sizeof(struct serial),
	.init = serial_init,
	.reset = serial_reset,
	.destroy = serial_destroy,
	.describe = serial_describe,
};
