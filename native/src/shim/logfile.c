// A full or broken disk costs log lines, never the workload's time: what cannot be written is counted and forgotten.
#include "shim/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int logfile_open(struct logfile *log, const char *path, long long max_bytes) {
  log->path = path;
  log->max_bytes = max_bytes;
  log->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
  struct stat status;
  if (log->fd < 0 || fstat(log->fd, &status) < 0) return -1;
  log->size = status.st_size;
  return 0;
}

static void rotate(struct logfile *log) {
  char old[4096];
  int length = snprintf(old, sizeof old, "%s.1", log->path);
  if (length < 0 || (size_t)length >= sizeof old || rename(log->path, old) < 0) return; // goes on in the same file: better too long than lost
  close(log->fd);
  logfile_open(log, log->path, log->max_bytes);
}

// Returns the bytes taken, or -1.
static ssize_t put(struct logfile *log, const char *bytes, size_t length) {
  ssize_t written;
  while ((written = write(log->fd, bytes, length)) < 0 && errno == EINTR) continue;
  if (written > 0) log->size += written;
  return written;
}

void logfile_append(struct logfile *log, const char *bytes, size_t length) {
  if (log->fd < 0) logfile_open(log, log->path, log->max_bytes);
  if (log->fd >= 0 && log->size > 0 && log->size + (long long)length > log->max_bytes) rotate(log);
  if (log->fd >= 0 && log->dropped > 0) {
    char note[128];
    int size = snprintf(note, sizeof note, "\n[aether: %lld bytes of output were lost: the disk took no more]\n", log->dropped);
    if (put(log, note, (size_t)size) == size) log->dropped = 0;
  }
  while (length > 0) {
    ssize_t written = log->fd < 0 ? -1 : put(log, bytes, length);
    if (written <= 0) {
      log->dropped += (long long)length;
      return;
    }
    bytes += written;
    length -= (size_t)written;
  }
}
