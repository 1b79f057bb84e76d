// seccomp's user notification (Linux 5.0, Documentation/userspace-api/seccomp_filter.rst) in place of a patched criu or a preloaded library: it works with any build
// of criu and fails closed. When the tracker is gone, the kernel answers ENOSYS, the dump fails, and the move is rolled back.
#include "hide.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "fdpass.h"
#include "limits.h"
#include "object.h"
#include "report.h"

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#endif

static const struct space *(*find_space)(pid_t pid);
static unsigned long answer_count, hidden_pages;

static struct sockaddr_un address_of(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) fail(0, "memory: the path %s is longer than a socket's may be", path);
  memcpy(address.sun_path, path, strlen(path) + 1);
  return address;
}

void hide_install(const char *path) {
  struct sockaddr_un address = address_of(path);
  int tracker = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), answer;
  if (tracker < 0 || connect(tracker, (struct sockaddr *)&address, sizeof address) < 0) fail(errno, "launch: --page-answers %s", path);
  // A chain of filters has one listener, so this one also hears what limits.c answers; a number that no call has where that is not needed.
  unsigned limits = limits_are_hidden() ? SYS_prlimit64 : ~0u;
  struct sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCH, 0, 9),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, limits, 6, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_lseek, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 5),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])), // little endian: the low half
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)IOCTL_PAGEMAP_SCAN, 2, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SEEK_DATA, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog filter = {.len = sizeof program / sizeof *program, .filter = program};
  int listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
  if (listener < 0) fail(errno, "launch: --page-answers: no filter");
  if (send_fd(tracker, listener, 0) < 0 || read(tracker, &answer, sizeof answer) != sizeof answer) fail(EPIPE, "launch: --page-answers: nobody answers at %s", path);
  close(listener);
  close(tracker);
}

// Which process's pagemap a descriptor of criu's is: the path ends in PID/pagemap, from wherever criu has mounted /proc.
static pid_t pagemap_owner(pid_t asker, int fd) {
  char path[64], target[256];
  snprintf(path, sizeof path, "/proc/%d/fd/%d", asker, fd);
  ssize_t length = readlink(path, target, sizeof target - 1);
  if (length <= 0) return 0;
  target[length] = '\0';
  char *name = strrchr(target, '/');
  if (!name || strcmp(name, "/pagemap") != 0) return 0;
  *name = '\0';
  char *pid = strrchr(target, '/');
  return pid ? (pid_t)atoi(pid + 1) : 0;
}

static int read_of(pid_t pid, uint64_t at, void *to, size_t length) {
  struct iovec here = {to, length}, there = {(void *)at, length};
  return process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)length ? 0 : -1;
}

static int write_of(pid_t pid, uint64_t at, void *from, size_t length) {
  struct iovec here = {from, length}, there = {(void *)at, length};
  return length == 0 || process_vm_writev(pid, &here, 1, &there, 1, 0) == (ssize_t)length ? 0 : -1;
}

// The first hidden range that ends behind `at`.
static size_t first_hidden(const struct range_list *hidden, uint64_t at) {
  size_t low = 0, high = hidden->count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (hidden->items[middle].end <= at) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Asks the kernel for the gaps between hidden ranges only. Returns the number of regions, or a negative errno; *walk_end as the kernel would set it.
static long scan_gaps(int pagemap, const struct scan_request *asked, const struct range_list *hidden, struct scan_region *out, uint64_t *walk_end) {
  uint64_t at = asked->start;
  long count = 0;
  size_t next = first_hidden(hidden, at);
  while (at < asked->end) {
    if (next < hidden->count && hidden->items[next].start <= at) {
      uint64_t to = hidden->items[next].end < asked->end ? hidden->items[next].end : asked->end;
      hidden_pages += (to - at) / PAGE_BYTES;
      at = hidden->items[next++].end;
      continue;
    }
    struct scan_request scan = *asked;
    scan.start = at;
    scan.end = next < hidden->count && hidden->items[next].start < asked->end ? hidden->items[next].start : asked->end;
    scan.vec = (uint64_t)(out + count);
    scan.vec_len = asked->vec_len - (uint64_t)count;
    if (scan.vec_len == 0) {
      *walk_end = at;
      return count;
    }
    int got = ioctl(pagemap, IOCTL_PAGEMAP_SCAN, &scan);
    if (got < 0) return -errno;
    count += got;
    at = scan_next(&scan, out + count - got, got);
  }
  *walk_end = asked->end;
  return count;
}

// "From where on does this object hold anything?" Of one that the target has: nowhere.
static void answer_seek(struct seccomp_notif *question, struct seccomp_notif_resp *answer) {
  char path[64];
  struct stat about;
  snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)question->pid, (int)question->data.args[0]);
  if (stat(path, &about) < 0 || !object_is_hidden(about.st_dev, about.st_ino)) return;
  answer->flags = 0;
  answer->val = -1;
  answer->error = -ENXIO;
  answer_count++;
}

static void answer_one(int listener, struct seccomp_notif *question, struct seccomp_notif_resp *answer) {
  pid_t asker = (pid_t)question->pid;
  int fd = (int)question->data.args[0];
  uint64_t argument = question->data.args[2];
  struct scan_request asked;
  const struct space *space = NULL;
  *answer = (struct seccomp_notif_resp){.id = question->id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
  if (question->data.nr == SYS_lseek) return answer_seek(question, answer);
  pid_t owner = pagemap_owner(asker, fd);
  if (owner > 0) space = find_space(owner);
  if (!space || space->hidden.count == 0) return;
  if (read_of(asker, argument, &asked, sizeof asked) < 0 || asked.size != sizeof asked || asked.flags != 0 || asked.max_pages != 0 || asked.vec_len == 0 || asked.vec_len > 1 << 24) return;
  // Not the question which pages hold something, but for instance which are guards: that is the kernel's to answer.
  if (asked.category_anyof_mask != (PAGE_PRESENT | PAGE_SWAPPED)) return;
  struct scan_region *out = malloc(asked.vec_len * sizeof *out);
  int process = (int)syscall(SYS_pidfd_open, asker, 0), pagemap = process < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, process, fd, 0);
  uint64_t walk_end = 0;
  long count = !out ? -ENOMEM : pagemap < 0 ? -errno : scan_gaps(pagemap, &asked, &space->hidden, out, &walk_end);
  if (pagemap >= 0) close(pagemap);
  if (process >= 0) close(process);
  // The question may have been withdrawn (criu was killed) and its pid used again: writing must not hit a stranger.
  if (count >= 0 && ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &question->id) < 0) count = -EINTR;
  if (count >= 0 && (write_of(asker, asked.vec, out, (size_t)count * sizeof *out) < 0 ||
                     write_of(asker, argument + offsetof(struct scan_request, walk_end), &walk_end, sizeof walk_end) < 0))
    count = -EFAULT;
  free(out);
  answer->flags = 0;
  answer->val = count < 0 ? -1 : count;
  answer->error = count < 0 ? (int)count : 0;
  answer_count++;
}

static void serve(int listener) {
  struct seccomp_notif_sizes sizes;
  if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0) return;
  struct seccomp_notif *question = malloc(sizes.seccomp_notif + sizeof *question);
  struct seccomp_notif_resp *answer = malloc(sizes.seccomp_notif_resp + sizeof *answer);
  while (question && answer) {
    memset(question, 0, sizes.seccomp_notif + sizeof *question);
    memset(answer, 0, sizes.seccomp_notif_resp + sizeof *answer);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, question) < 0) {
      if (errno == EINTR) continue;
      break; // ENOENT: nobody is left under the filter
    }
    if (!limits_answer(listener, question, answer)) answer_one(listener, question, answer);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, answer) < 0 && errno != ENOENT) break;
  }
  free(question);
  free(answer);
}

static void *answer_all(void *argument) {
  int door = *(int *)argument;
  for (;;) {
    int client = accept4(door, NULL, NULL, SOCK_CLOEXEC), number = 0;
    if (client < 0) continue;
    int listener = receive_fd(client, &number);
    if (listener >= 0 && write(client, &number, sizeof number) == sizeof number) serve(listener);
    if (listener >= 0) close(listener);
    close(client);
  }
  return NULL;
}

void hide_listen(const char *path, const struct space *(*find)(pid_t pid)) {
  static int door;
  struct sockaddr_un address = address_of(path);
  find_space = find;
  unlink(path);
  door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (door < 0 || bind(door, (struct sockaddr *)&address, sizeof address) < 0 || listen(door, 4) < 0) fail(errno, "memory: cannot listen at %s", path);
  pthread_t thread;
  int error = pthread_create(&thread, NULL, answer_all, &door);
  if (error) fail(error, "memory: no thread");
}

void hide_write(const char *path, struct space *const *spaces, int count) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
  if (!file) fail(errno, "memory: --held %s", path);
  for (int i = 0; i < count; i++)
    for (size_t k = 0; k < spaces[i]->hidden.count; k++) {
      struct range range = spaces[i]->hidden.items[k];
      fprintf(file, "%x %" PRIx64 " %" PRIx64 "\n", (unsigned)spaces[i]->pid, range.start, range.end);
    }
  objects_write_hidden(file);
  if (fclose(file) != 0) fail(errno, "memory: --held %s", path);
}

void hide_counts(unsigned long *answers, unsigned long *pages) {
  *answers = answer_count;
  *pages = hidden_pages;
}
