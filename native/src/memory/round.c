#include "round.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

enum { batch_pages = 256, batch_ranges = 256, scan_regions = 8192 };

// Pages that were read and wait to be sent.
static char buffer[batch_pages * PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
static struct range pending[batch_ranges];
static int pending_count;
static uint64_t pending_pages;
static struct scan_region regions[scan_regions];

static void say_frame(const struct stream *stream, enum frame_kind kind, const struct space *space, uint64_t address, uint64_t pages) {
  struct frame frame = {.kind = kind, .space = space->id, .address = address, .pages = pages};
  struct iovec part = {&frame, sizeof frame};
  if (wire_write(stream->wire, &part, 1) < 0) fail(errno, "memory: the stream of pages broke");
}

// Frames of like pages: what is worth sending of the pages from `address` on, which lie at `bytes`.
void round_send(struct space *space, const struct stream *stream, uint64_t address, char *bytes, uint64_t count, struct round_counts *counts) {
  static struct frame frames[batch_pages];
  static struct iovec parts[2 * batch_pages];
  int frame_count = 0, part_count = 0;
  unsigned char last_kind = SENT_NOT;
  uint64_t next = 0;
  for (uint64_t i = 0; i < count; i++) {
    uint64_t at = address + i * PAGE_BYTES;
    struct sent_block *block = space_block(space, at, 1);
    unsigned index = (unsigned)(at / PAGE_BYTES % BLOCK_PAGES);
    int is_zero;
    hash_t hash = hash_page(stream->key, bytes + i * PAGE_BYTES, &is_zero);
    if (stream->is_flipping && index == 7) bytes[i * PAGE_BYTES + 99] ^= 1;
    unsigned char kind = is_zero ? SENT_ZERO : SENT_BYTES;
    if (block->state[index] == kind && block->hash[index] == hash) {
      counts->unchanged++;
      continue;
    }
    block_set(block, stream->key, index, kind, hash);
    if (kind == SENT_ZERO) counts->zero++;
    else counts->sent++;
    if (frame_count > 0 && last_kind == kind && next == at) {
      frames[frame_count - 1].pages++;
      if (kind == SENT_BYTES) parts[part_count - 1].iov_len += PAGE_BYTES;
    } else {
      frames[frame_count] = (struct frame){.kind = kind == SENT_ZERO ? FRAME_ZERO : FRAME_PAGES, .space = space->id, .address = at, .pages = 1};
      parts[part_count++] = (struct iovec){&frames[frame_count++], sizeof *frames};
      if (kind == SENT_BYTES) parts[part_count++] = (struct iovec){bytes + i * PAGE_BYTES, PAGE_BYTES};
    }
    last_kind = kind;
    next = at + PAGE_BYTES;
  }
  for (int i = 0; i < part_count; i++) counts->bytes += parts[i].iov_len;
  if (part_count > 0 && wire_write(stream->wire, parts, part_count) < 0) fail(errno, "memory: the stream of pages broke");
}

// A page that was written and cannot be read (unmapped meanwhile): what the target has of it is worth nothing.
static void forget_page(struct space *space, const struct stream *stream, uint64_t address, struct round_counts *counts) {
  struct sent_block *block = space_block(space, address, 0);
  unsigned index = (unsigned)(address / PAGE_BYTES % BLOCK_PAGES);
  counts->lost++;
  if (!block || block->state[index] == SENT_NOT) return;
  block_set(block, stream->key, index, SENT_NOT, 0);
  say_frame(stream, FRAME_FORGET, space, address, 1);
}

static void flush_pending(struct space *space, const struct stream *stream, struct round_counts *counts) {
  struct iovec there[batch_ranges];
  int first = 0;
  while (first < pending_count) {
    int count = 0;
    uint64_t wanted = 0;
    for (int i = first; i < pending_count; i++) {
      there[count++] = (struct iovec){(void *)pending[i].start, pending[i].end - pending[i].start};
      wanted += pending[i].end - pending[i].start;
    }
    struct iovec here = {buffer, wanted};
    ssize_t got = process_vm_readv(space->pid, &here, 1, there, (unsigned long)count, 0);
    uint64_t left = got < 0 ? 0 : (uint64_t)got / PAGE_BYTES * PAGE_BYTES, offset = 0;
    for (; first < pending_count && left > 0; first++) {
      uint64_t length = pending[first].end - pending[first].start, have = left < length ? left : length;
      round_send(space, stream, pending[first].start, buffer + offset, have / PAGE_BYTES, counts);
      offset += have;
      left -= have;
      pending[first].start += have;
      if (have < length) break;
    }
    if (first < pending_count && offset < wanted) {
      forget_page(space, stream, pending[first].start, counts);
      pending[first].start += PAGE_BYTES;
    }
    while (first < pending_count && pending[first].start >= pending[first].end) first++;
  }
  pending_count = 0;
  pending_pages = 0;
  if (stream->tick) stream->tick();
}

static void copy_range(struct space *space, const struct stream *stream, uint64_t start, uint64_t end, struct round_counts *counts) {
  counts->written += (end - start) / PAGE_BYTES;
  while (start < end) {
    uint64_t pages = (end - start) / PAGE_BYTES;
    if (pages > batch_pages - pending_pages) pages = batch_pages - pending_pages;
    pending[pending_count++] = (struct range){start, start + pages * PAGE_BYTES};
    pending_pages += pages;
    start += pages * PAGE_BYTES;
    if (pending_count == batch_ranges || pending_pages == batch_pages) flush_pending(space, stream, counts);
  }
}

// The next regions of written pages of a mapping; their number, or -1 where it is not tracked as we registered it. `at` goes on behind them.
static int next_written(const struct space *space, uint64_t *at, uint64_t end, struct scan_request scan) {
  scan.size = sizeof scan;
  scan.start = *at;
  scan.end = end;
  scan.vec = (uint64_t)regions;
  scan.vec_len = scan_regions;
  scan.category_mask |= PAGE_WRITTEN;
  scan.return_mask = PAGE_WRITTEN;
  int count = ioctl(space->pagemap, IOCTL_PAGEMAP_SCAN, &scan);
  if (count >= 0) *at = scan_next(&scan, regions, count);
  return count;
}

void round_look(struct space *space, const struct hash_key *key) {
  const struct scan_request protecting = {.flags = SCAN_PROTECT | SCAN_CHECK_ASYNC, .category_anyof_mask = PAGE_PRESENT | PAGE_SWAPPED};
  if (space_read_maps(space, 1, 0) < 0) return; // the next pass sees it
  for (size_t i = 0; i < space->tracked.count; i++)
    for (uint64_t from = space->tracked.items[i].start, end = space->tracked.items[i].end; from < end;) {
      int count = next_written(space, &from, end, protecting);
      if (count < 0) break;
      for (int j = 0; j < count; j++) {
        range_add(&space->stale, regions[j].start, regions[j].end);
        for (uint64_t at = regions[j].start; at < regions[j].end; at += PAGE_BYTES) {
          struct sent_block *block = space_block(space, at, 0);
          if (block) block_set(block, key, (unsigned)(at / PAGE_BYTES % BLOCK_PAGES), SENT_NOT, 0);
        }
      }
    }
}

uint64_t round_written(const struct space *space) {
  const struct scan_request looking = {.flags = SCAN_CHECK_ASYNC};
  uint64_t pages = 0;
  for (size_t i = 0; i < space->tracked.count; i++)
    for (uint64_t from = space->tracked.items[i].start, end = space->tracked.items[i].end; from < end;) {
      int count = next_written(space, &from, end, looking);
      if (count < 0) break;
      for (int j = 0; j < count; j++) pages += (regions[j].end - regions[j].start) / PAGE_BYTES;
    }
  return pages;
}

int round_live(struct space *space, const struct stream *stream, struct round_counts *counts) {
  if (space_read_maps(space, 1, stream->is_sharing) < 0) return -1;
  for (size_t i = 0; i < space->stale.count; i++) copy_range(space, stream, space->stale.items[i].start, space->stale.items[i].end, counts);
  flush_pending(space, stream, counts);
  space->stale.count = 0;
  const struct scan_request protecting = {
      .flags = SCAN_PROTECT | SCAN_CHECK_ASYNC,
      .max_pages = 16384, // protects only what is copied soon
      // A page of zeros that nobody wrote has no frame of its own: criu leaves it out as well.
      .category_inverted = PAGE_ZERO_FRAME,
      .category_mask = PAGE_ZERO_FRAME,
      .category_anyof_mask = PAGE_PRESENT | PAGE_SWAPPED,
  };
  for (size_t i = 0; i < space->tracked.count; i++)
    for (uint64_t from = space->tracked.items[i].start, end = space->tracked.items[i].end; from < end;) {
      int count = next_written(space, &from, end, protecting);
      // EPERM: not (any more) tracked as we registered it, because it was mapped anew: the next pass registers it, and all of it counts as written.
      if (count < 0) break;
      for (int j = 0; j < count; j++) copy_range(space, stream, regions[j].start, regions[j].end, counts);
      flush_pending(space, stream, counts);
    }
  return 0;
}

// Pages that criu must carry, ascending.
static struct range_list exposed;

// Of a range that was not written since it was sent: what was sent whole. The rest is left to criu.
static void keep_sent(struct space *space, uint64_t start, uint64_t end) {
  for (uint64_t at = start; at < end;) {
    uint64_t block_end = (at / (BLOCK_PAGES * PAGE_BYTES) + 1) * BLOCK_PAGES * PAGE_BYTES;
    if (block_end > end) block_end = end;
    const struct sent_block *block = space_block(space, at, 0);
    if (!block) range_add(&exposed, at, block_end);
    while (block && at < block_end) {
      const unsigned char *state = block->state + at / PAGE_BYTES % BLOCK_PAGES;
      size_t pages = (block_end - at) / PAGE_BYTES, run = 0;
      if (*state == SENT_NOT) {
        while (run < pages && state[run] == SENT_NOT) run++;
        range_add(&exposed, at, at + run * PAGE_BYTES);
      } else {
        const unsigned char *other = memchr(state, SENT_NOT, pages);
        run = other ? (size_t)(other - state) : pages;
        range_add(&space->kept, at, at + run * PAGE_BYTES);
      }
      at += run * PAGE_BYTES;
    }
    at = block_end;
  }
}

// Of a range that was written: what is readable still will be sent at once, so that criu need not. `*map`: the mapping to look at first.
static void take_last(struct space *space, struct range_list *last, uint64_t start, uint64_t end, size_t *map, struct round_counts *counts) {
  uint64_t at = start;
  while (at < end && *map < space->tracked.count) {
    struct range mapped = space->tracked.items[*map];
    if (mapped.end <= at) {
      ++*map;
      continue;
    }
    uint64_t from = at > mapped.start ? at : mapped.start, to = end < mapped.end ? end : mapped.end;
    if (from >= to) break;
    if (at < from) range_add(&exposed, at, from);
    range_add(last, from, to);
    range_add(&space->kept, from, to);
    counts->written += (to - from) / PAGE_BYTES;
    at = to;
  }
  if (at < end) range_add(&exposed, at, end);
}

// Whole mappings, so that criu's question is answered at once, less what only criu carries.
static void hide_mappings(struct space *space) {
  size_t next = 0;
  space->hidden.count = 0;
  for (size_t i = 0; i < space->mapped.count; i++) {
    uint64_t at = space->mapped.items[i].start, end = space->mapped.items[i].end;
    while (next < exposed.count && exposed.items[next].end <= at) next++;
    for (size_t k = next; k < exposed.count && exposed.items[k].start < end; k++) {
      if (exposed.items[k].start > at) range_add(&space->hidden, at, exposed.items[k].start);
      if (exposed.items[k].end > at) at = exposed.items[k].end;
    }
    if (at < end) range_add(&space->hidden, at, end);
  }
}

// The part of a range that is mapped, and that no region was named of: present, and as it was when it was last protected. `*map`: the mapping to look at first.
static void keep_unnamed(struct space *space, uint64_t start, uint64_t end, size_t *map) {
  for (; *map < space->mapped.count; ++*map) {
    struct range mapped = space->mapped.items[*map];
    if (mapped.start >= end) return;
    uint64_t from = start > mapped.start ? start : mapped.start, to = end < mapped.end ? end : mapped.end;
    if (from < to) keep_sent(space, from, to);
    if (mapped.end > end) return;
  }
}

int round_frozen_scan(struct space *space, const struct stream *stream, struct range_list *last, struct round_counts *counts) {
  space->kept.count = space->hidden.count = last->count = exposed.count = 0;
  // Locked mappings are restored by criu itself; which they are stands in smaps only, and walking that is dear: then all goes through criu.
  if (!space_is_alive(space) || space_has_locked(space) || space_read_maps(space, 0, stream->is_sharing) < 0) return -1;
  size_t map = 0, unnamed_map = 0;
  uint64_t named = 0;
  // Nearly all pages are present and were not written: what the kernel need not name costs a quarter. So it names the others: what was written, what is not there,
  // what is not tracked, zeros. (Asked for what was written alone, a page that was given back since it was sent would count as kept.)
  struct scan_request scan = {
      .size = sizeof scan,
      .start = 0,
      .end = USER_END,
      .vec = (uint64_t)regions,
      .vec_len = scan_regions,
      .category_inverted = PAGE_WP_ALLOWED | PAGE_PRESENT,
      .category_anyof_mask = PAGE_WP_ALLOWED | PAGE_PRESENT | PAGE_WRITTEN | PAGE_ZERO_FRAME,
      .return_mask = PAGE_WP_ALLOWED | PAGE_PRESENT | PAGE_SWAPPED | PAGE_WRITTEN | PAGE_ZERO_FRAME | PAGE_GUARD,
  };
  while (scan.start < scan.end) {
    int count = ioctl(space->pagemap, IOCTL_PAGEMAP_SCAN, &scan);
    if (count < 0 && errno == EINVAL && scan.return_mask & PAGE_GUARD) {
      scan.return_mask &= ~(uint64_t)PAGE_GUARD; // before Linux 6.15
      continue;
    }
    if (count < 0) return -1;
    for (int i = 0; i < count; i++) {
      uint64_t start = regions[i].start, end = regions[i].end, categories = regions[i].categories;
      keep_unnamed(space, named, start, &unnamed_map);
      named = end;
      if (categories & PAGE_ZERO_FRAME || !(categories & (PAGE_PRESENT | PAGE_SWAPPED))) continue; // criu leaves it out as well
      if (!(categories & PAGE_WP_ALLOWED) || categories & PAGE_GUARD) range_add(&exposed, start, end); // not tracked, or made unreadable (MADV_GUARD_INSTALL): counts as swapped
      else if (categories & PAGE_WRITTEN) take_last(space, last, start, end, &map, counts);
      else keep_sent(space, start, end);
    }
    scan.start = scan_next(&scan, regions, count);
  }
  keep_unnamed(space, named, USER_END, &unnamed_map);
  hide_mappings(space);
  return 0;
}

int round_frozen_send(struct space *space, const struct range_list *last, const struct stream *stream, struct round_counts *counts, hash_t *digest, uint64_t *kept) {
  uint64_t lost = counts->lost, written = counts->written;
  for (size_t i = 0; i < last->count; i++) copy_range(space, stream, last->items[i].start, last->items[i].end, counts);
  flush_pending(space, stream, counts);
  counts->written = written; // counted by the scan
  if (counts->lost > lost) return -1;
  for (size_t i = 0; i < space->mapped.count; i++) {
    struct range mapped = space->mapped.items[i];
    say_frame(stream, FRAME_MAPPING, space, mapped.start, (mapped.end - mapped.start) / PAGE_BYTES);
  }
  *digest = 0;
  *kept = 0;
  for (size_t i = 0; i < space->kept.count; i++) round_keep(space, stream, space->kept.items[i], digest, kept);
  return round_seal(space, stream, *digest, *kept);
}

void round_keep(struct space *space, const struct stream *stream, struct range range, hash_t *digest, uint64_t *kept) {
  say_frame(stream, FRAME_KEEP, space, range.start, (range.end - range.start) / PAGE_BYTES);
  for (uint64_t at = range.start; at < range.end;) {
    const struct sent_block *block = space_block(space, at, 0);
    uint64_t block_end = (at / (BLOCK_PAGES * PAGE_BYTES) + 1) * BLOCK_PAGES * PAGE_BYTES;
    if (block && block->sent == BLOCK_PAGES && block_end - at == BLOCK_PAGES * PAGE_BYTES && block_end <= range.end) {
      *digest += block->sum;
      *kept += BLOCK_PAGES;
      at = block_end;
    }
    for (; block && at < range.end && at < block_end; at += PAGE_BYTES) *digest += hash_share(stream->key, at, block->hash[at / PAGE_BYTES % BLOCK_PAGES]), ++*kept;
    if (!block) at = block_end;
  }
}

int round_seal(const struct space *space, const struct stream *stream, hash_t digest, uint64_t kept) {
  struct frame seal = {.kind = FRAME_SEAL, .space = space->id, .address = (uint64_t)digest, .pages = kept, .extra = (uint64_t)(digest >> 64)};
  struct iovec part = {&seal, sizeof seal};
  return wire_write(stream->wire, &part, 1);
}
