// Extended attributes, which Node has no call for. Symbolic links are never followed. Values travel as hexadecimal, since they may hold any byte.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "commands.h"
#include "report.h"

enum { max_value = 65536, max_names = 65536 }; // VFS: XATTR_SIZE_MAX, XATTR_LIST_MAX

// The next NUL-terminated field of standard input; NULL at its end. The buffer is reused for each slot.
static char *next_field(char **buffer, size_t *size) {
  ssize_t length = getdelim(buffer, size, '\0', stdin);
  if (length <= 0) return NULL;
  if ((*buffer)[length - 1] != '\0') fail(0, "xattr: the input ends inside a field");
  return *buffer;
}

static void print_attributes(const char *path, long index) {
  static char names[max_names], value[max_value];
  ssize_t length = llistxattr(path, names, sizeof names);
  if (length < 0) {
    if (errno == ENOTSUP || errno == ENOENT) return; // no attributes there; a file that vanished is the caller's to notice
    fail(errno, "xattr: %s", path);
  }
  for (char *name = names; name < names + length; name += strlen(name) + 1) {
    ssize_t bytes = lgetxattr(path, name, value, sizeof value);
    if (bytes < 0) {
      if (errno == ENODATA || errno == ENOENT) continue;
      fail(errno, "xattr: %s of %s", name, path);
    }
    printf("%ld %s ", index, name);
    for (ssize_t i = 0; i < bytes; i++) printf("%02x", (unsigned char)value[i]);
    putchar('\n');
  }
}

static int digit(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t parse_hex(const char *text, char *value) {
  size_t length = strlen(text) / 2;
  if (length > max_value || strlen(text) % 2 != 0) fail(0, "xattr: a value is not hexadecimal, or longer than %d bytes", max_value);
  for (size_t i = 0; i < length; i++) {
    int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
    if (high < 0 || low < 0) fail(0, "xattr: a value is not hexadecimal");
    value[i] = (char)(high << 4 | low);
  }
  return length;
}

static void set_attributes(void) {
  static char value[max_value];
  char *path = NULL, *name = NULL, *text = NULL;
  size_t path_size = 0, name_size = 0, text_size = 0;
  while (next_field(&path, &path_size)) {
    if (!next_field(&name, &name_size) || !next_field(&text, &text_size)) fail(0, "xattr: the input ends inside a record");
    size_t length = parse_hex(text, value);
    if (lsetxattr(path, name, value, length, 0) < 0) fail(errno, "xattr: %s of %s", name, path);
  }
  free(path);
  free(name);
  free(text);
}

int xattr_command(int argc, char **argv) {
  const char *what = argc == 1 ? argv[0] : "";
  if (strcmp(what, "set") == 0) {
    set_attributes();
    return 0;
  }
  if (strcmp(what, "get") != 0) usage_error("xattr: get or set%s", "");
  char *path = NULL;
  size_t size = 0;
  for (long index = 0; next_field(&path, &size); index++) print_attributes(path, index);
  free(path);
  if (fflush(stdout) != 0) fail(errno, "xattr: standard output");
  return 0;
}
