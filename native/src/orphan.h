#ifndef AETHER_ORPHAN_H
#define AETHER_ORPHAN_H

// Brings the task that a killed criu had run its code back to its own work, by the file that criu kept; where there is none (NULL, or no such file), or the
// task is not of these processes (a cgroup's cgroup.procs), nothing is done. The dump must have ended. 1 when something was mended, 0, or a negative errno.
int mend_orphan(const char *path, const char *procs);

#endif
