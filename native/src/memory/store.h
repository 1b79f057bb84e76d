// What the target has of the workload's memory before it is restored: copies of pages, by process and address.
#ifndef AETHER_STORE_H
#define AETHER_STORE_H

#include <pthread.h>
#include <stdint.h>

#include "huge.h"
#include "page_hash.h"

#define STORE_BLOCK_PAGES 512
// KEPT: bit beside the others. ELSEWHERE: its hash is known, and whoever keeps the store has put its bytes away (store_put_away).
enum { COPY_NONE = 0, COPY_BYTES = 1, COPY_ZERO = 2, COPY_KEPT = 4, COPY_ELSEWHERE = 8 };

struct store_block {
  uint32_t space;
  uint64_t number;  // address / (STORE_BLOCK_PAGES * PAGE_BYTES)
  char *bytes;      // STORE_BLOCK_PAGES pages
  uint64_t heat;    // pages that came, over all passes: the largest are those that the workload writes most densely
  hash_t sum;       // the shares in a digest of all pages whose state is not NONE; `held`: how many
  unsigned held;
  unsigned char state[STORE_BLOCK_PAGES];
  hash_t hash[STORE_BLOCK_PAGES];
  // Of inherit.c: pages that came since it wrote them into criu last, pages that it wrote, into which criu, and whether as one huge page. The first is set here, whole
  // pages after their bytes.
  uint64_t stale[STORE_BLOCK_PAGES / 64], there[STORE_BLOCK_PAGES / 64];
  unsigned inherit_round;
  unsigned char inherit_size;
};

struct mapping {
  uint32_t space;
  uint64_t start, end;
};

// Shared memory: which process of the restored ones maps it, and where.
struct store_object {
  uint32_t space, pid, inode; // the inode on the source, by which criu names its images
  uint64_t at, pages;
  int fd;
};

struct store {
  struct store_block **slots; // open addressing
  uint64_t slot_count;
  struct store_block **all;
  uint64_t count, capacity;
  pthread_mutex_t growing; // held while `all` and `count` change
  uint64_t received_pages, kept_pages;
  struct mapping *mappings; // in which pages may be kept
  uint64_t mapping_count, mapping_capacity;
  struct store_object *objects;
  uint64_t object_count, object_capacity;
  struct huge_price price;
  struct hash_key key;
  hash_t zero_hash; // of a page of zeros
  int is_keyed;
  void (*on_mark)(uint64_t pass); // all of this pass is here
};

void store_init(struct store *store);

// Gives the memory of a block back, whatever it holds; the block can be filled anew.
void store_empty(struct store_block *block);

// Gives the memory of a block back; it holds nothing afterwards.
void store_release(struct store_block *block);

// The block goes; whoever holds the store forgets it.
void store_drop(struct store_block *block);

// What was kept is elsewhere from now on, and its memory is given back; everything else is forgotten. The next stream may keep it without sending it again.
void store_put_away(struct store *store);

struct store_block *store_find(const struct store *store, uint32_t space, uint64_t address);

struct wire;

// Reads frames until FRAME_END, calling `sealed` for each space. 0; or -1 and `*reason` where the stream broke or a digest differs.
int store_receive(struct store *store, struct wire *wire, void (*sealed)(uint32_t space, uint64_t pages, hash_t digest), const char **reason);

#endif
