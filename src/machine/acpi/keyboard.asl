/* SPDX-License-Identifier: Apache-2.0 */
/* A keyboard and a mouse behind the keyboard controller; numbers agree with machine/chipset/i8042.c. */
DefinitionBlock ("", "SSDT", 2, "DACH", "KEYBOARD", 1)
{
	Scope (\_SB)
	{
		Device (KBD0)
		{
			Name (_HID, EisaId ("PNP0303"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x0060, 0x0060, 1, 1)
				IO (Decode16, 0x0064, 0x0064, 1, 1)
				IRQNoFlags () { 1 }
			})
		}

		Device (MOU0)
		{
			Name (_HID, EisaId ("PNP0F13"))
			Name (_CRS, ResourceTemplate ()
			{
				IRQNoFlags () { 12 }
			})
		}
	}
}
