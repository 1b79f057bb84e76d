// Which pages of shared memory were written cannot be read off page tables: a process that mapped it, wrote and ended between two looks (a database's backend)
// leaves no mark, nor does write(2) to a memfd. So objects are compared, page by page, with the hashes of what was sent: a quarter of a second a GiB, and nothing is missed.
#include "object.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "report.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

enum { batch_pages = 256 };

static struct object **objects;
static size_t object_count, object_capacity;
static unsigned pass, next_id;
static char buffer[batch_pages * PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static struct object *find(dev_t device, ino_t inode) {
  for (size_t i = 0; i < object_count; i++)
    if (objects[i]->inode == inode && objects[i]->device == device) return objects[i];
  return NULL;
}

// What the target can fill: memory of pages of the usual size, not sealed against writing. -1: criu carries it.
static int open_object(pid_t pid, const char *range, struct stat *about) {
  char path[128];
  struct statfs system;
  snprintf(path, sizeof path, "/proc/%d/map_files/%s", pid, range);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  int seals = fcntl(fd, F_GET_SEALS);
  if (fstat(fd, about) == 0 && fstatfs(fd, &system) == 0 && system.f_type == TMPFS_MAGIC && !(seals > 0 && seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))) return fd;
  close(fd);
  return -1;
}

void object_seen(const struct space *space, const char *range, dev_t device, ino_t inode) {
  struct object *object = find(device, inode);
  if (!object) {
    struct stat about;
    int fd = inode > UINT32_MAX ? -1 : open_object(space->pid, range, &about); // the stream has half a word for it
    if (fd < 0) return;
    if (about.st_dev != device || about.st_ino != inode) {
      close(fd); // mapped anew meanwhile: the next look sees it
      return;
    }
    if (object_count == object_capacity) {
      object_capacity = object_capacity * 2 + 64;
      objects = realloc(objects, object_capacity * sizeof *objects);
    }
    object = calloc(1, sizeof *object);
    if (!objects || !object) fail(ENOMEM, "memory: an object");
    *object = (struct object){.device = device, .inode = inode, .fd = fd};
    space_init(&object->sent, OBJECT_ID | ++next_id);
    objects[object_count++] = object;
  }
  object->pass = pass;
  object->pid = space->id;
  object->at = strtoull(range, NULL, 16);
}

void objects_begin(void) { pass++; }

void objects_end(const struct stream *stream) {
  for (size_t i = object_count; i-- > 0;) {
    struct object *object = objects[i];
    if (object->pass == pass) continue;
    struct frame frame = {.kind = FRAME_FORGET, .space = object->sent.id};
    struct iovec part = {&frame, sizeof frame};
    if (wire_write(stream->wire, &part, 1) < 0) fail(errno, "memory: the stream of pages broke");
    close(object->fd);
    space_clear(&object->sent);
    free(object);
    objects[i] = objects[--object_count];
  }
}

// The next range that holds anything, from `*at` on; 0 where there is none.
static int next_data(const struct object *object, uint64_t *at, uint64_t *end) {
  off_t data = lseek(object->fd, (off_t)*at, SEEK_DATA), hole = data < 0 ? -1 : lseek(object->fd, data, SEEK_HOLE);
  if (hole < 0) return 0;
  *at = (uint64_t)data / PAGE_BYTES * PAGE_BYTES;
  *end = ((uint64_t)hole + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
  return 1;
}

static void send_written(struct object *object, const struct stream *stream, uint64_t at, uint64_t pages, struct round_counts *counts) {
  uint64_t before = counts->sent + counts->zero;
  round_send(&object->sent, stream, at, buffer, pages, counts);
  counts->written += counts->sent + counts->zero - before;
}

static void live(struct object *object, const struct stream *stream, struct round_counts *counts) {
  for (uint64_t at = 0, end; next_data(object, &at, &end);) {
    while (at < end) {
      uint64_t wanted = end - at < sizeof buffer ? end - at : sizeof buffer;
      ssize_t got = pread(object->fd, buffer, wanted, (off_t)at);
      if (got < (ssize_t)PAGE_BYTES) break; // cut off meanwhile: the next pass sees it
      send_written(object, stream, at, (uint64_t)got / PAGE_BYTES, counts);
      counts->compared += (uint64_t)got / PAGE_BYTES;
      at += (uint64_t)got / PAGE_BYTES * PAGE_BYTES;
      if (stream->tick) stream->tick();
    }
    if (at < end) return;
  }
}

static uint64_t look(struct object *object, const struct hash_key *key, uint64_t at, uint64_t end, int is_first) {
  uint64_t changed = 0;
  while (at < end) {
    uint64_t wanted = end - at < sizeof buffer ? end - at : sizeof buffer;
    ssize_t got = pread(object->fd, buffer, wanted, (off_t)at);
    if (got < (ssize_t)PAGE_BYTES) break;
    for (char *page = buffer; page + PAGE_BYTES <= buffer + got; page += PAGE_BYTES, at += PAGE_BYTES) {
      struct sent_block *block = space_block(&object->sent, at, 1);
      unsigned index = (unsigned)(at / PAGE_BYTES % BLOCK_PAGES);
      int is_zero;
      hash_t hash = hash_page(key, page, &is_zero);
      changed += !is_first && (block->state[index] == SENT_NOT || block->hash[index] != hash);
      block_set(block, key, index, SENT_BYTES, hash);
    }
  }
  return changed;
}

uint64_t objects_look(const struct hash_key *key, uint64_t stride, uint64_t first, int is_first, uint64_t *looked_at, uint64_t *whole) {
  const uint64_t block_bytes = BLOCK_PAGES * PAGE_BYTES;
  uint64_t changed = 0;
  *looked_at = *whole = 0;
  for (size_t i = 0; i < object_count; i++)
    for (uint64_t at = 0, end; next_data(objects[i], &at, &end);) {
      *whole += end - at;
      for (uint64_t to; at < end; at = to) {
        to = (at / block_bytes + 1) * block_bytes;
        if (to > end) to = end;
        if (stride == 0 || (at / block_bytes + first) % stride != 0) continue;
        changed += look(objects[i], key, at, to, is_first);
        *looked_at += to - at;
      }
    }
  return changed;
}

int objects_known(void) { return object_count > 0; }

double objects_live(const struct stream *stream, struct round_counts *counts) {
  double began = now_ms();
  for (size_t i = 0; i < object_count; i++) live(objects[i], stream, counts);
  return now_ms() - began;
}

void objects_hide(void) {
  for (size_t i = 0; i < object_count; i++) objects[i]->is_hidden = objects[i]->pass == pass && objects[i]->sent.blocks > 0;
}

void objects_write_hidden(FILE *file) {
  for (size_t i = 0; i < object_count; i++)
    if (objects[i]->is_hidden) fprintf(file, "object %lu %lu\n", (unsigned long)objects[i]->device, (unsigned long)objects[i]->inode);
}

void objects_go_on(const struct hash_key *key) {
  for (size_t i = 0; i < object_count; i++)
    if (objects[i]->is_hidden) space_forget_but_kept(&objects[i]->sent, key);
}

int object_is_hidden(dev_t device, ino_t inode) {
  const struct object *object = find(device, inode);
  return object && object->is_hidden;
}

// Nobody writes any more, so it is read where it lies; only what differs is copied.
static void send_changed(struct object *object, const struct stream *stream, const char *view, uint64_t at, uint64_t end, struct round_counts *counts) {
  uint64_t from = at, pages = 0;
  for (; at <= end; at += PAGE_BYTES) {
    int is_same = 1, is_zero;
    if (at < end) {
      const struct sent_block *block = space_block(&object->sent, at, 0);
      unsigned index = (unsigned)(at / PAGE_BYTES % BLOCK_PAGES);
      is_same = block && block->state[index] != SENT_NOT && block->hash[index] == hash_page(stream->key, view + at, &is_zero);
    }
    if (!is_same && pages == 0) from = at;
    if (!is_same) memcpy(buffer + pages++ * PAGE_BYTES, view + at, PAGE_BYTES);
    if (pages > 0 && (is_same || pages == batch_pages)) {
      send_written(object, stream, from, pages, counts);
      pages = 0;
    }
  }
}

// -1: it cannot be mapped.
static int frozen(struct object *object, const struct stream *stream, struct round_counts *counts, uint64_t *kept, hash_t *digest) {
  struct stat about;
  if (fstat(object->fd, &about) < 0 || about.st_size == 0) return -1;
  uint64_t size = ((uint64_t)about.st_size + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
  const char *view = mmap(NULL, size, PROT_READ, MAP_SHARED, object->fd, 0);
  if (view == MAP_FAILED) return -1;
  struct frame head = {.kind = FRAME_OBJECT, .space = object->sent.id, .address = object->at, .pages = size / PAGE_BYTES, .extra = (uint64_t)object->inode << 32 | object->pid};
  struct iovec part = {&head, sizeof head};
  if (wire_write(stream->wire, &part, 1) < 0) fail(errno, "memory: the stream of pages broke");
  *kept = 0, *digest = 0;
  object->sent.kept.count = 0;
  for (uint64_t at = 0, end; next_data(object, &at, &end); at = end) {
    madvise((void *)(view + at), end - at, MADV_POPULATE_READ); // spares a fault for each few pages; where it is not known (before 5.14), they are taken
    send_changed(object, stream, view, at, end, counts);
    round_keep(&object->sent, stream, (struct range){at, end}, digest, kept);
    range_add(&object->sent.kept, at, end);
    counts->compared += (end - at) / PAGE_BYTES;
  }
  munmap((void *)view, size);
  return round_seal(&object->sent, stream, *digest, *kept);
}

int objects_frozen(const struct stream *stream, struct round_counts *counts, uint64_t *kept, void (*said)(unsigned id, uint64_t pages, hash_t digest)) {
  int count = 0;
  for (size_t i = 0; i < object_count; i++) {
    uint64_t pages;
    hash_t digest;
    if (!objects[i]->is_hidden) continue;
    if (frozen(objects[i], stream, counts, &pages, &digest) < 0) return -1;
    said(objects[i]->sent.id, pages, digest);
    *kept += pages;
    count++;
  }
  return count;
}
