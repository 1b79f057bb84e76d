// Puts the memory of one restored process in place through its userfaultfd: what it touches first, the rest in the background.
#ifndef AETHER_FILL_H
#define AETHER_FILL_H

#include <stddef.h>

#include "images.h"
#include "store.h"

// Pages of one block that are still to be put in place; shared between the worker and its keeper.
struct need {
  uint64_t number;
  uint64_t bits[STORE_BLOCK_PAGES / 64];
};

// The process moved memory (mremap) before it was put in place.
struct moved {
  uint64_t from, to, length;
};
enum { max_moves = 1024 };

// The part of a space's state that outlives a worker.
struct fill_state {
  uint64_t need_count, pages_left;
  uint32_t move_count;
  struct moved moves[max_moves];
  struct need needs[];
};

struct fill {
  int uffd;
  uint32_t id;
  const struct store *store;
  struct image image;
  struct fill_state *state;
  size_t state_bytes;
  uint64_t *order; // indexes of needs: what is written most comes first
  uint64_t next;   // in `order`
  uint64_t beside; // the page behind the one that was asked for last
  unsigned beside_left;
  struct fill *forked; // a child of the process, known by its event
};

struct fill_counts {
  uint64_t faults, zero_faults, filled_pages, fault_pages;
  double fault_ms, worst_fault_ms;
};
extern struct fill_counts fill_counts;

// Called when a block of a space has nothing left to be put in place for this process; its children may still need it.
extern void (*fill_on_block_done)(const struct fill *fill, uint64_t number);

// Called when the process has made a child, with what its keeper needs for `fill_adopt`. Both descriptors stay the caller's.
extern void (*fill_on_fork)(const struct fill *parent, int uffd, int state);

// A child of the process: takes over `uffd`; what is left to do is in `state`, a file in memory that others may map too. 0, or -1 with errno.
int fill_adopt(struct fill *parent, int uffd, int state);

// Takes over `uffd`. `reason` where the images cannot be read.
struct fill *fill_open(const struct store *store, uint32_t id, int uffd, const char **reason);

// Handles what the process waits for; 0, or -1 where it cannot be given.
int fill_events(struct fill *fill);

// A thread waits for the page at this address. As fill_events, which calls it.
int fill_fault(struct fill *fill, uint64_t address);

// Puts some pages in place. 1: there was something to do; 0: all is done; -1: not possible yet (the process's mappings are not there); -2: it failed.
int fill_some(struct fill *fill);

// Before the process runs: a page of each mapping can be put in place, so all of them wait for their pages. -1 where not, with the address.
int fill_prove(struct fill *fill, uint64_t *address);

// A mapping that is gone is no failure any more: the process runs.
void fill_process_runs(void);

uint64_t fill_left(const struct fill *fill);

// Does the process, or a child of it, still need a page of this block?
int fill_needs_block(const struct fill *fill, uint64_t number);

#endif
