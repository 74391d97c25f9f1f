/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine counts, per vCPU; printed by `dach run --stats`. Read without locks. */
#ifndef DACH_CPU_TRANSLATE_COUNTERS_H
#define DACH_CPU_TRANSLATE_COUNTERS_H

#include <stdint.h>

#define COUNTERS(X)                                                                    \
	X(exit_lookup)    /* left translated code to find the next block */            \
	X(exit_link)      /* the same, at a direct jump that was not linked */         \
	X(exit_emulate)   /* to emulate one instruction */                             \
	X(exit_slow)      /* slow memory accesses */                                   \
	X(exit_ungrouped) /* ... of several that go on one by one */                   \
	X(exit_kick)      /* because of a kick or poll */                              \
	X(tlb_fill)                                                                    \
	X(tlb_flush)                                                                   \
	X(tlb_flush_page)                                                              \
	X(context_switch) /* TLB contexts */                                           \
	X(user_entry)     /* ... to a user's */                                        \
	X(walk)           /* page table walks */                                       \
	X(page_brought)   /* that was absent */                                        \
	X(bounce)         /* accesses through the bounce buffer */                     \
	X(mmio)                                                                        \
	X(pio)                                                                         \
	X(msr)                                                                         \
	X(fault) /* exceptions delivered */                                            \
	X(page_fault)                                                                  \
	X(interrupt)                                                                   \
	X(halt)                                                                        \
	X(pause) /* with other vCPUs */                                                \
	X(yield) /* of the host's processor, while spinning */                         \
	X(spin_sleep)                                                                  \
	X(hypercall)                                                                   \
	X(block_made)                                                                  \
	X(block_guest_bytes) /* that were translated */                                \
	X(block_code_bytes)  /* that they became */                                    \
	X(make_cycles)       /* of the TSC, for translating */                         \
	X(lock_wait)         /* times that another vCPU had the cache's lock */        \
	X(lock_cycles)       /* waiting for it */                                      \
	X(exclusive)         /* times that all other vCPUs were held outside */        \
	X(exclusive_cycles)  /* until they were */                                     \
	X(block_linked)                                                                \
	X(crossing_unlinked) /* times that links between pages were all dropped */     \
	X(block_invalidated)                                                           \
	X(part_evicted)  /* parts of the code cache that made way */                   \
	X(block_evicted) /* blocks in them */                                          \
	X(evict_cycles)                                                                \
	X(code_write)    /* writes to pages that hold translated code */               \
	X(signal)        /* host signals taken in translated code */                   \
	X(beyond)        /* ... for what an access touched beside guest memory */      \
	X(window_miss)   /* accesses through windows that found nothing there */       \
	X(window_map)    /* pieces of memory put into windows */                       \
	X(window_whole)  /* of those, large pages */                                   \
	X(window_demote) /* write permission taken away, for code */                   \
	X(window_up)     /* address spaces that got windows */                         \
	X(window_down)   /* and lost them again */                                     \
	X(native_up)     /* address spaces that went on natively */                    \
	X(native_down)   /* and did not any more */                                    \
	X(native_busy)   /* ... because it made too many trips */                      \
	X(native_tick)   /* of the guest's clock in it; and in its translated code: */ \
	X(native_away_tick)                                                            \
	X(native_trip)    /* ways there and back */                                    \
	X(native_cycles)  /* of the TSC, there */                                      \
	X(native_call)    /* ... because of system calls */                            \
	X(native_fault)   /* ... because of pages that were not there */               \
	X(native_away)    /* ... and translated code went on, calls included */        \
	X(native_patched) /* pages of code mapped as copies */                         \
	X(native_astray)  /* programs that ran into what is ours there */              \
	X(native_lost)    /* mirrors that have died */                                 \
	X(vector_save)

struct counters {
#define X(name) uint64_t name;
	COUNTERS(X)
#undef X
};

#endif
