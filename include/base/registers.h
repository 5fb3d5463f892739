/*
 * registers: the wide registers of the processor, which copying uses, and which a core dump has.
 */
#ifndef BASE_REGISTERS_H
#define BASE_REGISTERS_H

/*
 * Clear them: the last bytes that memcpy moved may have been a key. For before a process waits.
 * Only on x86-64; elsewhere nothing is done.
 */
void registers_wipe(void);

#endif
