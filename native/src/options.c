// Options are checked before anything is done: a wrong one ends the program with exit code 2 and a line that names it.
#include "options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

static const struct option_spec *find(const struct option_spec *specs, int count, const char *name, size_t length) {
  for (int i = 0; i < count; i++)
    if (strlen(specs[i].name) == length && strncmp(specs[i].name, name, length) == 0) return &specs[i];
  return NULL;
}

static void store(const char *command, const struct option_spec *spec, const char *value) {
  if (spec->text) {
    if (*value == '\0') usage_error("%s: --%s is empty", command, spec->name);
    *spec->text = value;
    return;
  }
  char *end;
  errno = 0;
  long long number = strtoll(value, &end, 10);
  if (errno || end == value || *end != '\0' || number < spec->min || number > spec->max)
    usage_error("%s: --%s must be a whole number from %lld to %lld, not \"%s\"", command, spec->name, spec->min, spec->max, value);
  *spec->number = number;
}

int parse_options(const char *command, int argc, char **argv, const struct option_spec *specs, int spec_count) {
  unsigned seen = 0;
  int i = 0;
  for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
    if (strncmp(argv[i], "--", 2) != 0) usage_error("%s: unexpected argument \"%s\"", command, argv[i]);
    const char *name = argv[i] + 2;
    const char *equals = strchr(name, '=');
    const struct option_spec *spec = find(specs, spec_count, name, equals ? (size_t)(equals - name) : strlen(name));
    if (!spec) usage_error("%s: unknown option \"%s\"", command, argv[i]);
    if (seen & (1u << (spec - specs))) usage_error("%s: --%s is given twice", command, spec->name);
    seen |= 1u << (spec - specs);
    if (!equals && (i + 1 >= argc || strcmp(argv[i + 1], "--") == 0)) usage_error("%s: --%s needs a value", command, spec->name);
    store(command, spec, equals ? equals + 1 : argv[++i]);
  }
  for (int s = 0; s < spec_count; s++)
    if (specs[s].is_required && !(seen & (1u << s))) usage_error("%s: --%s is missing", command, specs[s].name);
  return i < argc ? i + 1 : argc;
}

void require_device_name(const char *option, const char *name) {
  size_t length = strlen(name);
  if (length == 0 || length >= IFNAMSIZ || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strpbrk(name, "/: \t\n%"))
    usage_error("%s: \"%s\" is not a name of a network device", option, name);
}

unsigned require_ipv4(const char *option, const char *text) {
  struct in_addr address;
  if (inet_pton(AF_INET, text, &address) != 1) usage_error("%s: \"%s\" is not an IPv4 address", option, text);
  return address.s_addr;
}
