// The workload's init process, seen from the shim, and the shim's other dealings with processes and descriptors.
#ifndef AETHER_INIT_H
#define AETHER_INIT_H

#include <sys/types.h>

struct init {
  pid_t pid;
  int pidfd;    // -1: the kernel gave none; then the shim polls
  int code;     // -1: not known
  int signal;   // 0: none
  int has_ended;
};

long long now_ms(void);

// Reads the pid and opens a descriptor of it; -1 when the file holds none.
int init_read(struct init *init, const char *pid_file);

// Reaps all children that have ended, and answers whether the init has.
int init_has_ended(struct init *init);

// {"exitCode":n,"signal":n,"atMs":n} in one step; tried for a minute when the disk takes nothing.
void init_write_exit(const struct init *init, const char *path);

// SIGKILL to the group of `command` (0: none was started) and to all children of this process, again and again until none is left, at most 2 s.
void kill_descendants(pid_t command);

// Notes the descriptors above 2 that the caller passed on (for COMMAND), close_inherited closes them here.
void note_inherited(void);
void close_inherited(void);

#endif
