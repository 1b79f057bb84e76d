// Puts what is kept of shared memory into the restored processes' own objects, before any of them runs.
#ifndef AETHER_PLACE_H
#define AETHER_PLACE_H

#include "store.h"

// `procs`: where the restored processes are listed (cgroup.procs); `charge`: that of the memory cgroup that pays, or NULL. Returns the pages that were put; -1 and `*reason` where an object cannot be filled.
long long place_objects(struct store *store, const char *procs, const char *charge, const char **reason);

#endif
