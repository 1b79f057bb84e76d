// Which memory is tracked: what criu can restore lazily, and what is a plain array of bytes. Private, anonymous, readable; not the main stack, not
// locked. Everything else travels in criu's images, as always.
#include "space.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "attach.h"
#include "object.h"
#include "report.h"

void range_add(struct range_list *list, uint64_t start, uint64_t end) {
  if (list->count > 0 && list->items[list->count - 1].end == start) {
    list->items[list->count - 1].end = end;
    return;
  }
  range_append(list, start, end);
}

void range_append(struct range_list *list, uint64_t start, uint64_t end) {
  if (list->count == list->capacity) {
    list->capacity = list->capacity * 2 + 256;
    list->items = realloc(list->items, list->capacity * sizeof *list->items);
    if (!list->items) fail(ENOMEM, "memory: a list of ranges");
  }
  list->items[list->count++] = (struct range){start, end};
}

static FILE *open_proc(pid_t pid, const char *name) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  return fopen(path, "re");
}

// Field 22 of stat; the name before it may hold anything.
static uint64_t start_of(pid_t pid) {
  char line[1024];
  FILE *stat = open_proc(pid, "stat");
  uint64_t started = 0;
  if (!stat) return 0;
  if (fgets(line, sizeof line, stat)) {
    char *at = strrchr(line, ')');
    for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
    if (at) started = strtoull(at + 1, NULL, 10);
  }
  fclose(stat);
  return started;
}

// One number of /proc/PID/status; the last of the line where `is_last`.
static long status_number(pid_t pid, const char *name, int is_last) {
  char line[512];
  long value = 0;
  FILE *status = open_proc(pid, "status");
  while (status && fgets(line, sizeof line, status)) {
    if (strncmp(line, name, strlen(name)) != 0) continue;
    char *at = is_last ? strrchr(line, '\t') : strchr(line, ':');
    value = at ? strtol(at + 1, NULL, 10) : 0;
    break;
  }
  if (status) fclose(status);
  return value;
}

void space_init(struct space *space, unsigned id) {
  *space = (struct space){.id = id, .uffd = -1, .pagemap = -1, .slots = 1024};
  space->table = calloc(space->slots, sizeof *space->table);
  if (!space->table) fail(ENOMEM, "memory: a space");
}

static size_t slot_of(const struct space *space, uint64_t number);

void block_set(struct sent_block *block, const struct hash_key *key, unsigned index, unsigned char state, hash_t hash) {
  uint64_t address = (block->number * BLOCK_PAGES + index) * PAGE_BYTES;
  if (block->state[index] != SENT_NOT) block->sum -= hash_share(key, address, block->hash[index]), block->sent--;
  if (state != SENT_NOT) block->sum += hash_share(key, address, hash), block->sent++;
  block->state[index] = state;
  block->hash[index] = hash;
}

void space_forget_but_kept(struct space *space, const struct hash_key *key) {
  enum { kept_bit = 0x80 };
  for (size_t i = 0; i < space->kept.count; i++) {
    for (uint64_t at = space->kept.items[i].start; at < space->kept.items[i].end; at += PAGE_BYTES) {
      struct sent_block *block = space_block(space, at, 0);
      if (block) block->state[at / PAGE_BYTES % BLOCK_PAGES] |= kept_bit;
    }
  }
  struct sent_block **old = space->table;
  space->table = calloc(space->slots, sizeof *space->table);
  if (!space->table) fail(ENOMEM, "memory: a table of blocks");
  space->blocks = 0;
  for (size_t i = 0; i < space->slots; i++) {
    for (unsigned k = 0; old[i] && k < BLOCK_PAGES; k++) {
      if (old[i]->state[k] & kept_bit) old[i]->state[k] &= ~kept_bit;
      else block_set(old[i], key, k, SENT_NOT, 0);
    }
    if (old[i] && old[i]->sent > 0) space->table[slot_of(space, old[i]->number)] = old[i], space->blocks++;
    else free(old[i]);
  }
  free(old);
}

struct space *space_open(pid_t pid, const char **reason, long *stopped_us) {
  struct space *space = calloc(1, sizeof *space);
  char path[64];
  if (!space) fail(ENOMEM, "memory: a space");
  space_init(space, (unsigned)status_number(pid, "NSpid:", 1));
  space->pid = pid;
  space->started = start_of(pid);
  snprintf(path, sizeof path, "/proc/%d/pagemap", pid);
  space->uffd = attach_uffd(pid, stopped_us, reason);
  if (space->uffd >= 0) space->pagemap = open(path, O_RDONLY | O_CLOEXEC);
  if (space->uffd >= 0 && space->pagemap < 0) *reason = "its pagemap cannot be read";
  if (space->id == 0) *reason = "it has ended";
  if (space->pagemap < 0 || space->id == 0) {
    space_close(space);
    return NULL;
  }
  return space;
}

void space_clear(struct space *space) {
  for (size_t i = 0; i < space->slots; i++) free(space->table[i]);
  free(space->table);
}

void space_close(struct space *space) {
  if (space->uffd >= 0) close(space->uffd);
  if (space->pagemap >= 0) close(space->pagemap);
  space_clear(space);
  free(space->tracked.items);
  free(space->mapped.items);
  free(space->kept.items);
  free(space->hidden.items);
  free(space->stale.items);
  free(space);
}

int space_is_alive(const struct space *space) { return start_of(space->pid) == space->started; }

int space_has_locked(const struct space *space) { return status_number(space->pid, "VmLck:", 0) > 0; }

static size_t slot_of(const struct space *space, uint64_t number) {
  size_t at = (size_t)(number * 0x9e3779b97f4a7c15ull >> 20) & (space->slots - 1);
  while (space->table[at] && space->table[at]->number != number) at = (at + 1) & (space->slots - 1);
  return at;
}

static void grow(struct space *space) {
  struct sent_block **old = space->table;
  size_t count = space->slots;
  space->slots *= 4;
  space->table = calloc(space->slots, sizeof *space->table);
  if (!space->table) fail(ENOMEM, "memory: a table of blocks");
  for (size_t i = 0; i < count; i++)
    if (old[i]) space->table[slot_of(space, old[i]->number)] = old[i];
  free(old);
}

struct sent_block *space_block(struct space *space, uint64_t address, int make) {
  uint64_t number = address / (BLOCK_PAGES * PAGE_BYTES);
  size_t at = slot_of(space, number);
  if (space->table[at] || !make) return space->table[at];
  if (space->blocks * 2 >= space->slots) {
    grow(space);
    at = slot_of(space, number);
  }
  struct sent_block *block = calloc(1, sizeof *block);
  if (!block) fail(ENOMEM, "memory: a block");
  block->number = number;
  space->blocks++;
  return space->table[at] = block;
}

// Parses one line of maps; 1 where the mapping is of the kind that we track, if it is readable.
static int is_trackable(const char *line, struct range *found, int *is_readable) {
  char mode[8], name[64] = "";
  unsigned long inode;
  if (sscanf(line, "%lx-%lx %7s %*s %*s %lu %63s", &found->start, &found->end, mode, &inode, name) < 4) return 0;
  *is_readable = mode[0] == 'r';
  return mode[3] == 'p' && inode == 0 && found->start < USER_END && strncmp(name, "[v", 2) != 0 && strncmp(name, "[stack", 6) != 0 &&
         strncmp(name, "[uprobes", 8) != 0;
}

// Memory that is shared without a file of a mounted file system behind it.
static int is_shared_object(const char *line) {
  const char *mode = strchr(line, ' '), *path = strchr(line, '/');
  return mode && mode[4] == 's' && path && (strncmp(path, "/dev/zero (", 11) == 0 || strncmp(path, "/memfd:", 7) == 0);
}

int space_read_maps(struct space *space, int is_registering, int is_sharing) {
  char line[4352];
  FILE *maps = open_proc(space->pid, "maps");
  int has_failed = 0;
  if (!maps) return -1;
  space->tracked.count = space->mapped.count = 0;
  while (fgets(line, sizeof line, maps)) {
    struct range found;
    int is_readable;
    if (is_sharing && is_shared_object(line)) {
      char range[64];
      unsigned major, minor;
      unsigned long shared;
      if (sscanf(line, "%63s %*s %*s %x:%x %lu", range, &major, &minor, &shared) == 4) object_seen(space, range, makedev(major, minor), shared);
    }
    if (!is_trackable(line, &found, &is_readable)) continue;
    range_append(&space->mapped, found.start, found.end);
    if (!is_readable) continue;
    struct uffdio_register wanted = {.range = {found.start, found.end - found.start}, .mode = UFFDIO_REGISTER_MODE_WP};
    // EINVAL, EBUSY: changed meanwhile, or watched by the process itself: criu's images carry it. ENOMEM, ESRCH for all: that memory is gone.
    if (!is_registering || ioctl(space->uffd, UFFDIO_REGISTER, &wanted) == 0) range_add(&space->tracked, found.start, found.end);
    else has_failed |= errno == ENOMEM || errno == ESRCH;
  }
  fclose(maps);
  return has_failed && space->tracked.count == 0 ? -1 : 0;
}
