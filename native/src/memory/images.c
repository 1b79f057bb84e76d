// The format is a magic number, then protocol-buffer messages with a length before each: pagemap_head {1: pages id}, then pagemap_entry {1: vaddr, 2: nr_pages (old),
// 4: flags, 5: nr_pages}. Pages of entries with the flag PRESENT lie in the pages image, in the same order.
#include "images.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pagemap.h"

enum { entry_lazy = 1 << 1, entry_present = 1 << 2, entry_parent = 1 << 0 };

struct cursor {
  const unsigned char *at, *end;
};

static uint64_t varint(struct cursor *cursor) {
  uint64_t value = 0;
  for (int shift = 0; cursor->at < cursor->end && shift < 64; shift += 7) {
    unsigned char byte = *cursor->at++;
    value |= (uint64_t)(byte & 127) << shift;
    if (!(byte & 128)) break;
  }
  return value;
}

// Fields 0 to 7 of a message that has integers only; 0 where one is missing.
static void fields_of(struct cursor message, uint64_t fields[8]) {
  for (int i = 0; i < 8; i++) fields[i] = 0;
  while (message.at < message.end) {
    uint64_t key = varint(&message);
    if ((key & 7) != 0) return;
    uint64_t value = varint(&message);
    if (key >> 3 < 8) fields[key >> 3] = value;
  }
}

static const char *map_file(const char *name, size_t *length) {
  struct stat about;
  int fd = open(name, O_RDONLY | O_CLOEXEC);
  const char *bytes = NULL;
  *length = 0;
  if (fd >= 0 && fstat(fd, &about) == 0 && about.st_size > 0) {
    bytes = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) bytes = NULL;
    else *length = (size_t)about.st_size;
  }
  if (fd >= 0) close(fd);
  return bytes;
}

// One message with its length before it.
static int next_message(struct cursor *file, struct cursor *message) {
  uint32_t length = 0;
  if (file->end - file->at < 4) return 0;
  for (int i = 0; i < 4; i++) length |= (uint32_t)file->at[i] << 8 * i;
  file->at += 4;
  if (length > (uint64_t)(file->end - file->at)) return 0;
  *message = (struct cursor){file->at, file->at + length};
  file->at += length;
  return 1;
}

int image_read(uint32_t id, struct image *image, const char **reason) {
  char name[64];
  size_t length, pages_length;
  uint64_t fields[8], offset = 0, capacity = 0;
  *image = (struct image){0};
  snprintf(name, sizeof name, "pagemap-%u.img", id);
  const char *bytes = map_file(name, &length);
  struct cursor file = {(const unsigned char *)bytes + 8, (const unsigned char *)bytes + length}, message;
  *reason = "a pagemap image is missing or broken";
  if (!bytes || length < 8 || !next_message(&file, &message)) return -1;
  fields_of(message, fields);
  snprintf(name, sizeof name, "pages-%llu.img", (unsigned long long)fields[1]);
  const char *pages = map_file(name, &pages_length);
  while (next_message(&file, &message)) {
    fields_of(message, fields);
    uint64_t address = fields[1], count = fields[5] ? fields[5] : fields[2], flags = fields[4];
    if (flags & entry_parent) return -1;
    if (!(flags & entry_present) || count == 0) continue; // none: there may be no pages image at all
    if (count > pages_length / PAGE_BYTES || offset + count * PAGE_BYTES > pages_length || address > USER_END) return -1;
    if (flags & entry_lazy) {
      if (image->count == capacity) {
        capacity = capacity * 2 + 64;
        image->runs = realloc(image->runs, capacity * sizeof *image->runs);
        if (!image->runs) return -1;
      }
      image->runs[image->count++] = (struct image_run){address, count, pages + offset};
      image->pages += count;
    }
    offset += count * PAGE_BYTES;
  }
  munmap((void *)bytes, length);
  return 0;
}
