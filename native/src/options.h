// Options of a command: --name VALUE or --name=VALUE, each declared in a table; everything else ends the program with exit code 2.
#ifndef AETHER_OPTIONS_H
#define AETHER_OPTIONS_H

struct option_spec {
  const char *name;       // without the dashes
  const char **text;      // where the value goes, or
  long long *number;      // where the number goes
  long long min, max;     // bounds of a number, both included
  int is_required;
};

// Reads argv[0..argc). Stops after "--" or at the end; returns the index of what follows "--" (argc when there is none).
int parse_options(const char *command, int argc, char **argv, const struct option_spec *specs, int spec_count);

// A name that the kernel takes for a network device; ends the program with exit code 2 otherwise.
void require_device_name(const char *option, const char *name);

// IPv4 in dotted form, as network-order bytes; ends the program with exit code 2 otherwise.
unsigned require_ipv4(const char *option, const char *text);

#endif
