// What the parts of the shim share: shim.c starts it, launch.c runs the command, stay.c is there until the workload's end.
#ifndef AETHER_SHIM_H
#define AETHER_SHIM_H

#include "shim/init.h"
#include "shim/output.h"

struct shim {
  const char *exit_file, *pid_file;
  struct output output;
  int front;    // write end: one line and the exit code go to the front process; -1: it has them
  int children; // signalfd for SIGCHLD
  int partner;  // pidfd of who stands by; -1: nobody
  pid_t command;
  struct init init;
  int is_launched, is_over;
};

// Runs COMMAND to its end, tells the front what became of it, and leaves the workload's init in `init`. Does not return when there is no workload.
void shim_launch(struct shim *shim, char **command);

// Waits for output, a child's end, `extra` (-1: nothing), or (while launching) the front's death. Returns 0 when the front is gone.
int shim_wait(struct shim *shim, int timeout_ms, int is_launching, int extra);

// From one process to two, before anything is started: returns in the child, with the state on a page that both have.
struct shim *shim_pair(struct shim *alone);

// From the launch to the workload's end.
_Noreturn void shim_stay(struct shim *shim);

// Who stands by ends too, instead of going on.
_Noreturn void shim_end(struct shim *shim, int code);

#endif
