/*
 * tree: what a process and all its descendants have used.
 */
#ifndef BENCH_TREE_H
#define BENCH_TREE_H

#include <stdint.h>
#include <sys/types.h>

/* Nanoseconds on a processor of all threads that live. */
uint64_t tree_cpu_ns(pid_t root);
/* Proportional set size in KB. */
uint64_t tree_pss_kb(pid_t root);

#endif
