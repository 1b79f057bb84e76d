// What a workload writes, on its way from its pipes to its log, and the end of what its launcher said.
#ifndef AETHER_SHIM_OUTPUT_H
#define AETHER_SHIM_OUTPUT_H

#include <stddef.h>

#include "shim/logfile.h"

enum { tail_max = 4096, chunk_max = 65536 };

struct output {
  struct logfile log;
  int out[2], err[2];
  char tail[tail_max]; // of standard error, until the workload is launched
  size_t tail_size;
};

// Makes the pipes. Fails the process.
void output_open(struct output *output);

// Adds to the tail; what is too old falls off.
void output_remember(struct output *output, const char *bytes, size_t length);

// Copies what is there, a chunk a pipe at most. A pipe at its end is closed, and -1 from then on.
void output_copy(struct output *output, int is_launching);

// The child's part, before it becomes COMMAND: the write ends are its standard output and error. Fails the process.
void output_place(const struct output *output);

// The ends that are written to belong to the workload alone.
void output_close_writers(const struct output *output);

// Everything, in a process that has nothing to do with it.
void output_close(const struct output *output);

#endif
