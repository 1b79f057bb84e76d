// What a workload writes, on its way from its pipes to its log, and the end of what its launcher said.
#ifndef AETHER_SHIM_OUTPUT_H
#define AETHER_SHIM_OUTPUT_H

#include <stddef.h>

#include "shim/logfile.h"

enum { tail_max = 4096, chunk_max = 65536 };

struct output {
  struct logfile log;
  int out[2], err[2], own[2]; // own: COMMAND's own output where the workload's pipes have numbers of their own
  char tail[tail_max];        // of COMMAND's standard error
  size_t tail_size;
};
#define NO_OUTPUT {.out = {-1, -1}, .err = {-1, -1}, .own = {-1, -1}}

// Makes the pipes. Fails the process.
void output_open(struct output *output, int has_own);

// Adds to the tail; what is too old falls off.
void output_remember(struct output *output, const char *bytes, size_t length);

// Copies what is there, a chunk a pipe at most. A pipe at its end is closed, and -1 from then on.
void output_copy(struct output *output, int is_launching);

// The child's part, before it becomes COMMAND: the write ends get the numbers BASE and BASE + 1.
void output_place(const struct output *output, int base);

// The ends that are written to belong to the workload alone.
void output_close_writers(const struct output *output);

// Everything, in a process that has nothing to do with it.
void output_close(const struct output *output);

#endif
