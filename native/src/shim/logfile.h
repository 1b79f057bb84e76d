// A workload's log: appended to, renamed to FILE.1 when it is full, and never a reason to stop reading from the workload.
#ifndef AETHER_LOGFILE_H
#define AETHER_LOGFILE_H

#include <stddef.h>

struct logfile {
  const char *path;
  long long max_bytes, size;
  long long dropped; // since the last successful write
  int fd;            // -1: could not be opened, tried again with the next bytes
};

// Opens or makes the file; -1 with errno when that fails.
int logfile_open(struct logfile *log, const char *path, long long max_bytes);

// Appends. Bytes that the disk does not take are counted, and a line says how many when it takes some again.
void logfile_append(struct logfile *log, const char *bytes, size_t length);

#endif
