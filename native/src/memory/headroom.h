// How much memory may still be taken for a second copy of a workload's.
#ifndef AETHER_HEADROOM_H
#define AETHER_HEADROOM_H

#include <stdint.h>

// Pages, of the node's memory and of the memory cgroup's whose cgroup.procs is `charge` (NULL: of none); in both something stays free.
uint64_t headroom_pages(const char *charge);

// Can so many pages more be charged to this cgroup before its limit is reached?
int headroom_is_within_limit(const char *charge, uint64_t pages);

#endif
