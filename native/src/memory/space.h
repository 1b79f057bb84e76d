// One address space of the workload, as the source tracks it.
#ifndef AETHER_SPACE_H
#define AETHER_SPACE_H

#include <sys/types.h>

#include "page_hash.h"
#include "pagemap.h"

// What was sent of the pages of one block (2 MiB).
#define BLOCK_PAGES 512
struct sent_block {
  uint64_t number; // address / (BLOCK_PAGES * PAGE_BYTES)
  hash_t sum;      // the shares in a digest of all pages that were sent; `sent`: how many
  unsigned sent;
  unsigned char state[BLOCK_PAGES];
  hash_t hash[BLOCK_PAGES];
};
enum { SENT_NOT = 0, SENT_BYTES = 1, SENT_ZERO = 2 };

struct range_list {
  struct range *items;
  size_t count, capacity;
};

struct space {
  pid_t pid;           // as we see it
  unsigned id;         // as it sees itself
  uint64_t started;    // start time of the process: a pid that was used again is another space
  int uffd, pagemap;
  struct sent_block **table; // open addressing by block number
  size_t slots, blocks;
  struct range_list tracked; // what may be read, as of the last look at its mappings; neighbours are one range
  struct range_list mapped;  // every private anonymous mapping, each for itself
  struct range_list kept;    // frozen: what the target has
  struct range_list hidden;  // frozen: what criu need not look at: mappings, less the pages that only it carries
  struct range_list stale;   // written before the last look for the rate, and not sent since
  int is_gone;
};

struct round_counts {
  uint64_t written, sent, zero, unchanged, lost, bytes, compared; // compared: of shared memory, which is read whole
};

// Neighbours become one range.
void range_add(struct range_list *list, uint64_t start, uint64_t end);
void range_append(struct range_list *list, uint64_t start, uint64_t end);

// A table of what was sent that belongs to no process.
void space_init(struct space *space, unsigned id);
void space_clear(struct space *space);

// What was sent and is not in `kept` counts as not sent. Blocks of which nothing is left are given back.
void space_forget_but_kept(struct space *space, const struct hash_key *key);

// NULL and `reason` where the process cannot be tracked.
struct space *space_open(pid_t pid, const char **reason, long *stopped_us);
void space_close(struct space *space);

// Is the process there, and the same one?
int space_is_alive(const struct space *space);

// Finds the block of an address; makes it where `make`.
struct sent_block *space_block(struct space *space, uint64_t address, int make);

// The page was sent, with this hash; or counts as not sent (SENT_NOT).
void block_set(struct sent_block *block, const struct hash_key *key, unsigned index, unsigned char state, hash_t hash);

// Reads which mappings are private, anonymous and readable into `tracked`, and tracks their pages where `is_registering` (twice is allowed). -1: the memory
// is gone: the process has ended or has executed another program.
// Hands each mapping of shared memory to object_seen where `is_sharing`.
int space_read_maps(struct space *space, int is_registering, int is_sharing);

// Is any of its memory locked? Criu restores that otherwise.
int space_has_locked(const struct space *space);

#endif
