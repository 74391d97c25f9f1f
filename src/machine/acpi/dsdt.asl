/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fixed tables cannot say (ACPI 6.4, chapters 5 and 6): the PCI root
 * and its windows, where its interrupt pins go, the serial port, the clock,
 * pvpanic, and how to switch off. Numbers agree with machine/pci/bus.h and chipset/pm.h.
 */
DefinitionBlock ("", "DSDT", 2, "DACH", "DACHDSDT", 1)
{
	/* Switching off: SLP_TYP 5 (PM_SLEEP_S5). */
	Name (_S5, Package () { 5, 0, 0, 0 })

	Scope (_SB)
	{
		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A03"))
			Name (_UID, 0)
			Name (_BBN, 0)
			Name (_CRS, ResourceTemplate ()
			{
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
					0, 0, 0, 0, 1)
				IO (Decode16, 0x0CF8, 0x0CF8, 1, 8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0x0000, 0x0CF7, 0, 0x0CF8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0x0D00, 0xFFFF, 0, 0xF300)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					NonCacheable, ReadWrite,
					0, 0xC0000000, 0xFEBFFFFF, 0, 0x3EC00000)
			})

			/* Interrupt pin p (INTA# is 0) of slot n is input 16 + (n + p) % 4 of the I/O APIC. */
			Name (_PRT, Package ()
			{
				Package () { 0x0000FFFF, 0, 0, 16 },
				Package () { 0x0000FFFF, 1, 0, 17 },
				Package () { 0x0000FFFF, 2, 0, 18 },
				Package () { 0x0000FFFF, 3, 0, 19 },
				Package () { 0x0001FFFF, 0, 0, 17 },
				Package () { 0x0001FFFF, 1, 0, 18 },
				Package () { 0x0001FFFF, 2, 0, 19 },
				Package () { 0x0001FFFF, 3, 0, 16 },
				Package () { 0x0002FFFF, 0, 0, 18 },
				Package () { 0x0002FFFF, 1, 0, 19 },
				Package () { 0x0002FFFF, 2, 0, 16 },
				Package () { 0x0002FFFF, 3, 0, 17 },
				Package () { 0x0003FFFF, 0, 0, 19 },
				Package () { 0x0003FFFF, 1, 0, 16 },
				Package () { 0x0003FFFF, 2, 0, 17 },
				Package () { 0x0003FFFF, 3, 0, 18 },
				Package () { 0x0004FFFF, 0, 0, 16 },
				Package () { 0x0004FFFF, 1, 0, 17 },
				Package () { 0x0004FFFF, 2, 0, 18 },
				Package () { 0x0004FFFF, 3, 0, 19 },
				Package () { 0x0005FFFF, 0, 0, 17 },
				Package () { 0x0005FFFF, 1, 0, 18 },
				Package () { 0x0005FFFF, 2, 0, 19 },
				Package () { 0x0005FFFF, 3, 0, 16 },
				Package () { 0x0006FFFF, 0, 0, 18 },
				Package () { 0x0006FFFF, 1, 0, 19 },
				Package () { 0x0006FFFF, 2, 0, 16 },
				Package () { 0x0006FFFF, 3, 0, 17 },
				Package () { 0x0007FFFF, 0, 0, 19 },
				Package () { 0x0007FFFF, 1, 0, 16 },
				Package () { 0x0007FFFF, 2, 0, 17 },
				Package () { 0x0007FFFF, 3, 0, 18 },
				Package () { 0x0008FFFF, 0, 0, 16 },
				Package () { 0x0008FFFF, 1, 0, 17 },
				Package () { 0x0008FFFF, 2, 0, 18 },
				Package () { 0x0008FFFF, 3, 0, 19 },
				Package () { 0x0009FFFF, 0, 0, 17 },
				Package () { 0x0009FFFF, 1, 0, 18 },
				Package () { 0x0009FFFF, 2, 0, 19 },
				Package () { 0x0009FFFF, 3, 0, 16 },
				Package () { 0x000AFFFF, 0, 0, 18 },
				Package () { 0x000AFFFF, 1, 0, 19 },
				Package () { 0x000AFFFF, 2, 0, 16 },
				Package () { 0x000AFFFF, 3, 0, 17 },
				Package () { 0x000BFFFF, 0, 0, 19 },
				Package () { 0x000BFFFF, 1, 0, 16 },
				Package () { 0x000BFFFF, 2, 0, 17 },
				Package () { 0x000BFFFF, 3, 0, 18 },
				Package () { 0x000CFFFF, 0, 0, 16 },
				Package () { 0x000CFFFF, 1, 0, 17 },
				Package () { 0x000CFFFF, 2, 0, 18 },
				Package () { 0x000CFFFF, 3, 0, 19 },
				Package () { 0x000DFFFF, 0, 0, 17 },
				Package () { 0x000DFFFF, 1, 0, 18 },
				Package () { 0x000DFFFF, 2, 0, 19 },
				Package () { 0x000DFFFF, 3, 0, 16 },
				Package () { 0x000EFFFF, 0, 0, 18 },
				Package () { 0x000EFFFF, 1, 0, 19 },
				Package () { 0x000EFFFF, 2, 0, 16 },
				Package () { 0x000EFFFF, 3, 0, 17 },
				Package () { 0x000FFFFF, 0, 0, 19 },
				Package () { 0x000FFFFF, 1, 0, 16 },
				Package () { 0x000FFFFF, 2, 0, 17 },
				Package () { 0x000FFFFF, 3, 0, 18 },
				Package () { 0x0010FFFF, 0, 0, 16 },
				Package () { 0x0010FFFF, 1, 0, 17 },
				Package () { 0x0010FFFF, 2, 0, 18 },
				Package () { 0x0010FFFF, 3, 0, 19 },
				Package () { 0x0011FFFF, 0, 0, 17 },
				Package () { 0x0011FFFF, 1, 0, 18 },
				Package () { 0x0011FFFF, 2, 0, 19 },
				Package () { 0x0011FFFF, 3, 0, 16 },
				Package () { 0x0012FFFF, 0, 0, 18 },
				Package () { 0x0012FFFF, 1, 0, 19 },
				Package () { 0x0012FFFF, 2, 0, 16 },
				Package () { 0x0012FFFF, 3, 0, 17 },
				Package () { 0x0013FFFF, 0, 0, 19 },
				Package () { 0x0013FFFF, 1, 0, 16 },
				Package () { 0x0013FFFF, 2, 0, 17 },
				Package () { 0x0013FFFF, 3, 0, 18 },
				Package () { 0x0014FFFF, 0, 0, 16 },
				Package () { 0x0014FFFF, 1, 0, 17 },
				Package () { 0x0014FFFF, 2, 0, 18 },
				Package () { 0x0014FFFF, 3, 0, 19 },
				Package () { 0x0015FFFF, 0, 0, 17 },
				Package () { 0x0015FFFF, 1, 0, 18 },
				Package () { 0x0015FFFF, 2, 0, 19 },
				Package () { 0x0015FFFF, 3, 0, 16 },
				Package () { 0x0016FFFF, 0, 0, 18 },
				Package () { 0x0016FFFF, 1, 0, 19 },
				Package () { 0x0016FFFF, 2, 0, 16 },
				Package () { 0x0016FFFF, 3, 0, 17 },
				Package () { 0x0017FFFF, 0, 0, 19 },
				Package () { 0x0017FFFF, 1, 0, 16 },
				Package () { 0x0017FFFF, 2, 0, 17 },
				Package () { 0x0017FFFF, 3, 0, 18 },
				Package () { 0x0018FFFF, 0, 0, 16 },
				Package () { 0x0018FFFF, 1, 0, 17 },
				Package () { 0x0018FFFF, 2, 0, 18 },
				Package () { 0x0018FFFF, 3, 0, 19 },
				Package () { 0x0019FFFF, 0, 0, 17 },
				Package () { 0x0019FFFF, 1, 0, 18 },
				Package () { 0x0019FFFF, 2, 0, 19 },
				Package () { 0x0019FFFF, 3, 0, 16 },
				Package () { 0x001AFFFF, 0, 0, 18 },
				Package () { 0x001AFFFF, 1, 0, 19 },
				Package () { 0x001AFFFF, 2, 0, 16 },
				Package () { 0x001AFFFF, 3, 0, 17 },
				Package () { 0x001BFFFF, 0, 0, 19 },
				Package () { 0x001BFFFF, 1, 0, 16 },
				Package () { 0x001BFFFF, 2, 0, 17 },
				Package () { 0x001BFFFF, 3, 0, 18 },
				Package () { 0x001CFFFF, 0, 0, 16 },
				Package () { 0x001CFFFF, 1, 0, 17 },
				Package () { 0x001CFFFF, 2, 0, 18 },
				Package () { 0x001CFFFF, 3, 0, 19 },
				Package () { 0x001DFFFF, 0, 0, 17 },
				Package () { 0x001DFFFF, 1, 0, 18 },
				Package () { 0x001DFFFF, 2, 0, 19 },
				Package () { 0x001DFFFF, 3, 0, 16 },
				Package () { 0x001EFFFF, 0, 0, 18 },
				Package () { 0x001EFFFF, 1, 0, 19 },
				Package () { 0x001EFFFF, 2, 0, 16 },
				Package () { 0x001EFFFF, 3, 0, 17 },
				Package () { 0x001FFFFF, 0, 0, 19 },
				Package () { 0x001FFFFF, 1, 0, 16 },
				Package () { 0x001FFFFF, 2, 0, 17 },
				Package () { 0x001FFFFF, 3, 0, 18 }
			})

			/*
			 * Devices come and go in slots 1 to 31 (machine/pci/plug.h): which have come and
			 * which are to go is told slot by slot; _EJ0 says that the guest has given one up.
			 */
			OperationRegion (PLGR, SystemIO, 0xAE00, 12)
			Field (PLGR, DWordAcc, NoLock, WriteAsZeros)
			{
				CAME, 32,
				GOES, 32,
				EJCT, 32
			}
			Device (SL01) { Name (_ADR, 0x00010000) Name (_SUN, 1) Method (_EJ0, 1) { EJCT = 0x2 } }
			Device (SL02) { Name (_ADR, 0x00020000) Name (_SUN, 2) Method (_EJ0, 1) { EJCT = 0x4 } }
			Device (SL03) { Name (_ADR, 0x00030000) Name (_SUN, 3) Method (_EJ0, 1) { EJCT = 0x8 } }
			Device (SL04) { Name (_ADR, 0x00040000) Name (_SUN, 4) Method (_EJ0, 1) { EJCT = 0x10 } }
			Device (SL05) { Name (_ADR, 0x00050000) Name (_SUN, 5) Method (_EJ0, 1) { EJCT = 0x20 } }
			Device (SL06) { Name (_ADR, 0x00060000) Name (_SUN, 6) Method (_EJ0, 1) { EJCT = 0x40 } }
			Device (SL07) { Name (_ADR, 0x00070000) Name (_SUN, 7) Method (_EJ0, 1) { EJCT = 0x80 } }
			Device (SL08) { Name (_ADR, 0x00080000) Name (_SUN, 8) Method (_EJ0, 1) { EJCT = 0x100 } }
			Device (SL09) { Name (_ADR, 0x00090000) Name (_SUN, 9) Method (_EJ0, 1) { EJCT = 0x200 } }
			Device (SL10) { Name (_ADR, 0x000A0000) Name (_SUN, 10) Method (_EJ0, 1) { EJCT = 0x400 } }
			Device (SL11) { Name (_ADR, 0x000B0000) Name (_SUN, 11) Method (_EJ0, 1) { EJCT = 0x800 } }
			Device (SL12) { Name (_ADR, 0x000C0000) Name (_SUN, 12) Method (_EJ0, 1) { EJCT = 0x1000 } }
			Device (SL13) { Name (_ADR, 0x000D0000) Name (_SUN, 13) Method (_EJ0, 1) { EJCT = 0x2000 } }
			Device (SL14) { Name (_ADR, 0x000E0000) Name (_SUN, 14) Method (_EJ0, 1) { EJCT = 0x4000 } }
			Device (SL15) { Name (_ADR, 0x000F0000) Name (_SUN, 15) Method (_EJ0, 1) { EJCT = 0x8000 } }
			Device (SL16) { Name (_ADR, 0x00100000) Name (_SUN, 16) Method (_EJ0, 1) { EJCT = 0x10000 } }
			Device (SL17) { Name (_ADR, 0x00110000) Name (_SUN, 17) Method (_EJ0, 1) { EJCT = 0x20000 } }
			Device (SL18) { Name (_ADR, 0x00120000) Name (_SUN, 18) Method (_EJ0, 1) { EJCT = 0x40000 } }
			Device (SL19) { Name (_ADR, 0x00130000) Name (_SUN, 19) Method (_EJ0, 1) { EJCT = 0x80000 } }
			Device (SL20) { Name (_ADR, 0x00140000) Name (_SUN, 20) Method (_EJ0, 1) { EJCT = 0x100000 } }
			Device (SL21) { Name (_ADR, 0x00150000) Name (_SUN, 21) Method (_EJ0, 1) { EJCT = 0x200000 } }
			Device (SL22) { Name (_ADR, 0x00160000) Name (_SUN, 22) Method (_EJ0, 1) { EJCT = 0x400000 } }
			Device (SL23) { Name (_ADR, 0x00170000) Name (_SUN, 23) Method (_EJ0, 1) { EJCT = 0x800000 } }
			Device (SL24) { Name (_ADR, 0x00180000) Name (_SUN, 24) Method (_EJ0, 1) { EJCT = 0x1000000 } }
			Device (SL25) { Name (_ADR, 0x00190000) Name (_SUN, 25) Method (_EJ0, 1) { EJCT = 0x2000000 } }
			Device (SL26) { Name (_ADR, 0x001A0000) Name (_SUN, 26) Method (_EJ0, 1) { EJCT = 0x4000000 } }
			Device (SL27) { Name (_ADR, 0x001B0000) Name (_SUN, 27) Method (_EJ0, 1) { EJCT = 0x8000000 } }
			Device (SL28) { Name (_ADR, 0x001C0000) Name (_SUN, 28) Method (_EJ0, 1) { EJCT = 0x10000000 } }
			Device (SL29) { Name (_ADR, 0x001D0000) Name (_SUN, 29) Method (_EJ0, 1) { EJCT = 0x20000000 } }
			Device (SL30) { Name (_ADR, 0x001E0000) Name (_SUN, 30) Method (_EJ0, 1) { EJCT = 0x40000000 } }
			Device (SL31) { Name (_ADR, 0x001F0000) Name (_SUN, 31) Method (_EJ0, 1) { EJCT = 0x80000000 } }

			Method (TELL, 2, Serialized)
			{
				If (Arg0 & 0x2) { Notify (SL01, Arg1) }
				If (Arg0 & 0x4) { Notify (SL02, Arg1) }
				If (Arg0 & 0x8) { Notify (SL03, Arg1) }
				If (Arg0 & 0x10) { Notify (SL04, Arg1) }
				If (Arg0 & 0x20) { Notify (SL05, Arg1) }
				If (Arg0 & 0x40) { Notify (SL06, Arg1) }
				If (Arg0 & 0x80) { Notify (SL07, Arg1) }
				If (Arg0 & 0x100) { Notify (SL08, Arg1) }
				If (Arg0 & 0x200) { Notify (SL09, Arg1) }
				If (Arg0 & 0x400) { Notify (SL10, Arg1) }
				If (Arg0 & 0x800) { Notify (SL11, Arg1) }
				If (Arg0 & 0x1000) { Notify (SL12, Arg1) }
				If (Arg0 & 0x2000) { Notify (SL13, Arg1) }
				If (Arg0 & 0x4000) { Notify (SL14, Arg1) }
				If (Arg0 & 0x8000) { Notify (SL15, Arg1) }
				If (Arg0 & 0x10000) { Notify (SL16, Arg1) }
				If (Arg0 & 0x20000) { Notify (SL17, Arg1) }
				If (Arg0 & 0x40000) { Notify (SL18, Arg1) }
				If (Arg0 & 0x80000) { Notify (SL19, Arg1) }
				If (Arg0 & 0x100000) { Notify (SL20, Arg1) }
				If (Arg0 & 0x200000) { Notify (SL21, Arg1) }
				If (Arg0 & 0x400000) { Notify (SL22, Arg1) }
				If (Arg0 & 0x800000) { Notify (SL23, Arg1) }
				If (Arg0 & 0x1000000) { Notify (SL24, Arg1) }
				If (Arg0 & 0x2000000) { Notify (SL25, Arg1) }
				If (Arg0 & 0x4000000) { Notify (SL26, Arg1) }
				If (Arg0 & 0x8000000) { Notify (SL27, Arg1) }
				If (Arg0 & 0x10000000) { Notify (SL28, Arg1) }
				If (Arg0 & 0x20000000) { Notify (SL29, Arg1) }
				If (Arg0 & 0x40000000) { Notify (SL30, Arg1) }
				If (Arg0 & 0x80000000) { Notify (SL31, Arg1) }
			}

			Method (PLUG, 0, Serialized)
			{
				/* 1: look at the slot; 3: give it up (ACPI 6.4, table 5.170) */
				TELL (CAME, 1)
				TELL (GOES, 3)
			}
		}

		Device (COM1)
		{
			Name (_HID, EisaId ("PNP0501"))
			Name (_UID, 1)
			Name (_STA, 0x0F)
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x03F8, 0x03F8, 1, 8)
				IRQNoFlags () { 4 }
			})
		}

		Device (RTC0)
		{
			Name (_HID, EisaId ("PNP0B00"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x0070, 0x0070, 1, 2)
				IRQNoFlags () { 8 }
			})
		}

		/* The guest tells of its panic here. */
		Device (PEVT)
		{
			Name (_HID, "QEMU0001")
			Name (_STA, 0x0F)
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x0505, 0x0505, 1, 1)
			})
		}

		/*
		 * Sixteen bytes in memory that are others in each copy of a guest; acpi.h says where. Who
		 * copies raises input 20 of the I/O APIC.
		 */
		Device (VGEN)
		{
			Name (_HID, "DACH0001")
			Name (_CID, Package () { "VM_Gen_Counter", "VMGENCTR" })
			Name (_DDN, "VM_Gen_Counter")
			Name (_STA, 0x0F)
			Name (ADDR, Package () { 0x000EF000, 0 })
		}

		Device (GED0)
		{
			Name (_HID, "ACPI0013")
			Name (_UID, 0)
			Name (_STA, 0x0F)
			Name (_CRS, ResourceTemplate ()
			{
				Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 20 }
				Interrupt (ResourceConsumer, Level, ActiveHigh, Exclusive) { 21 }
			})
			Method (_EVT, 1, Serialized)
			{
				If (Arg0 == 20)
				{
					Notify (VGEN, 0x80)
				}
				ElseIf (Arg0 == 21)
				{
					\_SB.PCI0.PLUG ()
				}
			}
		}

		/* Ports that belong to the board. */
		Device (MBRD)
		{
			Name (_HID, EisaId ("PNP0C02"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x0061, 0x0061, 1, 1)
				IO (Decode16, 0x0092, 0x0092, 1, 1)
				IO (Decode16, 0x04D0, 0x04D0, 1, 2)
				IO (Decode16, 0x0600, 0x0600, 1, 16)
				IO (Decode16, 0xAE00, 0xAE00, 1, 12)
			})
		}
	}
}
