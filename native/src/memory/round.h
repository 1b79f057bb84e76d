// Copying one space to the stream: a pass while it runs, and the last look when it is frozen.
#ifndef AETHER_ROUND_H
#define AETHER_ROUND_H

#include "space.h"
#include "wire.h"

struct stream {
  struct wire *wire;
  const struct hash_key *key;
  // A test: one bit of one page of each block is wrong, after it was hashed.
  int is_flipping;
  // Its reader takes shared memory too.
  int is_sharing;
  // Called now and then while a long pass is under way.
  void (*tick)(void);
};

// Protects what was written since the last pass, then copies it: what is written after that is seen by the next pass. -1: the space is gone.
int round_live(struct space *space, const struct stream *stream, struct round_counts *counts);

// Between two snapshots: what was written so far is remembered (`stale`) and counts as not sent, so that round_written, later, counts what was written since.
void round_look(struct space *space, const struct hash_key *key);
uint64_t round_written(const struct space *space);

// What is worth sending of the `pages` pages (256 at most) at `bytes`, which is changed by a test; and, when frozen, what is kept of a range, and the seal.
void round_send(struct space *space, const struct stream *stream, uint64_t address, char *bytes, uint64_t pages, struct round_counts *counts);
void round_keep(struct space *space, const struct stream *stream, struct range range, hash_t *digest, uint64_t *kept);
int round_seal(const struct space *space, const struct stream *stream, hash_t digest, uint64_t kept);

// Frozen: finds which pages need not be in criu's images (`space->kept`): those that the target has, and those written since the last pass (`last`), which
// round_frozen_send promises to send. Sends nothing. -1: nothing is kept, criu carries all.
int round_frozen_scan(struct space *space, const struct stream *stream, struct range_list *last, struct round_counts *counts);

// Frozen: sends `last`, names everything kept, and seals the space. -1: a page that was promised cannot be read.
int round_frozen_send(struct space *space, const struct range_list *last, const struct stream *stream, struct round_counts *counts, hash_t *digest, uint64_t *kept);

#endif
