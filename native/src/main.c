// aether-native: what the engine needs of the kernel and cannot do from Node. Promises: no configuration, no shell, no file that
// was not named on the command line; JSON lines out; exit code 0 done, 1 failed, 2 wrong usage.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "memory/tls.h"
#include "options.h"
#include "report.h"

static const char help[] =
    "aether-native " VERSION ": kernel work of the migration engine\n"
    "\n"
    "aether-native shim --log FILE --max-log-bytes N (at least 65536) --exit-file FILE --pid-file FILE -- COMMAND ARG...\n"
    "    Runs COMMAND, which starts a workload in the background and writes the pid of its init to --pid-file (runc run --detach,\n"
    "    criu restore -d). Ends when COMMAND has ended, with its exit code, after one line on standard output:\n"
    "      {\"event\":\"launched\",\"code\":0,\"pid\":P,\"shimPid\":S,\"stdoutInode\":I,\"stderrInode\":J}\n"
    "      {\"event\":\"failed\",\"code\":N,\"stderr\":\"the last 4 KiB\",\"shimPid\":0,...}\n"
    "    Process S stays: it copies the workload's stdout and stderr to --log (at N bytes renamed to FILE.1), reaps, and when P ends\n"
    "    writes {\"exitCode\":n,\"signal\":n,\"atMs\":n} to --exit-file (-1: not known, P was nobody's child here). It outlives its caller.\n"
    "    When the caller kills this command before COMMAND has ended, everything that COMMAND started is killed.\n"
    "\n"
    "aether-native hold --device NAME --address A --deadline-ms N --max-bytes N [--control PATH]\n"
    "    Makes the TUN device NAME, brings it up, and keeps the IPv4 packets for A that are routed to it, in order.\n"
    "    Commands on standard input, one a line: release (route A to its new place first: kept packets are written back and routed\n"
    "    again, later ones at once), extend (the deadline begins anew), status, quit; the same on the unix socket PATH. At the deadline: release and end. Standard input closed: goes on until the deadline.\n"
    "      {\"event\":\"ready\"} {\"event\":\"status\",\"held\":n,\"bytes\":n,\"dropped\":n} {\"event\":\"released\",\"held\":n,\"replayed\":n,\"dropped\":n}\n"
    "\n"
    "aether-native guard --procs FILE --freezer FILE --thaw TEXT --silence-ms N [--group PID --group-ms N] [--orphan FILE] -- COMMAND ARG...\n"
    "    Started when a workload is about to be stopped. Commands on standard input: ping, done (the group has done its work), disarm. When the\n"
    "    input ends or is silent for N ms: waits for the end of the group, kills it when it is done or takes longer than --group-ms, mends as below, runs COMMAND (which leads the network back), writes TEXT to the freezer. Says \"armed\", then either \"disarmed\" or \"fired\".\n"
    "\n"
    "aether-native mend --procs FILE [--orphan FILE]\n"
    "    After a criu that was killed in a dump, for the processes listed in FILE (a cgroup's cgroup.procs): brings the task that it had run its own code back\n"
    "    to its work, by the file of criu's --orphan, and takes TCP sockets out of the repair mode in which criu leaves them.\n"
    "      {\"event\":\"mended\",\"tasks\":n,\"sockets\":n}\n"
    "\n"
    "aether-native socket-sequences --procs FILE\n"
    "    Waits for a line, then says of each established TCP connection of the stopped processes in FILE where it stands (modulo 2^32):\n"
    "      {\"local\":\"10.0.0.1:6379\",\"remote\":\"10.0.0.9:40000\",\"sent\":n,\"received\":n}\n"
    "\n"
    "aether-native announce --interface IF --address A [--count 3] [--interval-ms 50]\n"
    "    Gratuitous ARP, request and reply form, so that neighbours send packets for A to IF from now on.\n"
    "\n"
    "aether-native pipe --socket PATH\n"
    "    Standard input and output to a unix stream socket; an end of input is passed on, and answers still come back.\n"
    "\n"
    "aether-native launch [--cgroup-procs FILE:FILE...] [--nice N] [--go-fd N] [--receive-fd N] [--run-dir DIR] [--no-links-in DIR] [--page-answers SOCKET] [--answer-limits 1] -- COMMAND ARG...\n"
    "    Joins the cgroups, takes this niceness where it may, waits for one byte on descriptor N (its end: exit code 1), puts DIR over /run for itself alone, and becomes COMMAND.\n"
    "    --receive-fd N: descriptor N, a socket, becomes the descriptor that comes on it (pages-serve sends one).\n"
    "    --no-links-in: COMMAND follows no symbolic link in DIR, which may be changed by others meanwhile (Linux 5.10).\n"
    "    --answer-limits 1: where this user may not read the resource limits of another user's processes (no CAP_SYS_RESOURCE), COMMAND's\n"
    "    prlimit is answered from /proc; for criu dump, never for a restore, whose processes would keep the filter.\n"
    "    --page-answers: the memory-source that listens there answers COMMAND's PAGEMAP_SCAN, so that criu dump leaves out what the target has.\n"
    "\n"
    "aether-native enter --pid P --start-ticks T --capabilities MASK [--cgroup-procs FILE:FILE...] -- COMMAND ARG...\n"
    "    Runs COMMAND in the namespaces, root and working directory of process P, which began at T (field 22 of /proc/P/stat), as a member of the cgroups,\n"
    "    with no more than the capabilities in MASK (hexadecimal), no new privileges and the environment given. Exit code: COMMAND's, 128 + its signal,\n"
    "    127 there is no such command, 126 it cannot be run.\n"
    "\n"
    "aether-native unmount --pid P --start-ticks T -- FOLDER...\n"
    "    Takes these mounts out of the mount namespace of process P, and their empty folders. One that is no mount is no error.\n"
    "\n"
    "aether-native memory-source --procs FILE --answers SOCKET [--held FILE] --data-fd N [--shared 1] [--standing 1]\n"
    "    Copies the memory of the processes listed in FILE (a cgroup's cgroup.procs) to descriptor N while they run. Commands on standard input:\n"
    "      round   copies what was written since the last one (the first: everything)\n"
    "      frozen  the processes are frozen: says what the target has (from the answer on criu may dump) and sends the rest\n"
    "    --standing 1: after \"frozen\" further rounds copy what was written since, and \"look\" says how fast that is.\n"
    "      status  how many questions of criu were answered\n"
    "    --held FILE: what criu dump shall leave out is written there before \"frozen\" is said, for a criu that knows --pages-held.\n"
    "      {\"event\":\"ready\"} {\"event\":\"round\",...} {\"event\":\"frozen\",...} {\"event\":\"space\",...} {\"event\":\"sealed\",...}\n"
    "\n"
    "aether-native memory-target --images DIR --status FILE --data-fd N\n"
    "    Keeps what a memory-source sends through descriptor N. Writes it into a criu that waits with --inherit-memory inherit.socket in DIR, whose tasks inherit it; else puts\n"
    "    it in place when criu restore --lazy-pages works on DIR. Writes what became of it to FILE. Ends with its standard input until the restore; afterwards when every page is in place.\n"
    "      {\"event\":\"ready\"} {\"event\":\"mark\",\"number\":n} (all of pass n is here) {\"event\":\"standing\"} (such a criu is there) {\"event\":\"placed\",\"number\":n,\"isDeclined\":false} (pass n is in it)\n"
    "      {\"event\":\"space\",...} {\"event\":\"sealed\"} {\"event\":\"restored\"} {\"event\":\"filled\",...} {\"event\":\"failed\",\"reason\":...}\n"
    "\n"
    "aether-native memory-keep --data-fd N\n"
    "    Keeps what a memory-source of this host sends. After \"sealed\", the command \"merge DIR\" on standard input puts it together with what criu dumped into\n"
    "    DIR: images as criu alone would have written them, with holes for what an earlier merge had and nobody has written since.\n"
    "      {\"event\":\"ready\"} {\"event\":\"space\",...} {\"event\":\"sealed\",...} {\"event\":\"merged\",\"pages\":n}\n"
    "\n"
    "    --handed 1 (memory-source): the frames go over a TCP connection that a hand-over sends through descriptor N, with TLS of our own; behind it on\n"
    "    the same descriptor: five texts, each with its length (32 bits, little endian) before it: the peer's SPIFFE ID, the secret of this move, our\n"
    "    certificate chain, our private key and the trust bundle (PEM). memory-target and memory-keep take both ways, and say how it went:\n"
    "      {\"event\":\"connection\"} {\"event\":\"connection\",\"reason\":\"the peer is not the node of this move\"}\n"
    "\n"
    "aether-native pages-serve --criu PID --data-fd N --criu-fd M\n"
    "    Post-copy, on the source: sends a socket through descriptor M, on which criu, process PID, is to serve pages, and joins the other end of it to a connection that a hand-over\n"
    "    sends through descriptor N (as above), from the first word on. Takes another one where that is lost. Ends with criu, and where there is no connection with descriptor N.\n"
    "    Anything else on descriptor N is the stream itself: then its end is ours.\n"
    "      {\"event\":\"connection\"}\n"
    "\n"
    "aether-native pages-fetch --status FILE --procs FILE --data-fd N [--handed 1] -- COMMAND ARG...\n"
    "    Post-copy, on the target: takes a connection as above (without --handed 1 the stream is on descriptor N itself), waits for a word on standard input, runs COMMAND (criu\n"
    "    lazy-pages; an ARG @PAGES becomes the number of the descriptor on which it asks for pages), and joins that to the source. Ends with its standard input until COMMAND\n"
    "    has asked for a page; afterwards with COMMAND, and FILE says how that went. Two processes and\n"
    "    COMMAND: when the connection is lost or one of the two is killed (\"lost\"), another connection through descriptor N goes on with it; when there is none, or COMMAND is killed, what\n"
    "    is left is kept, so that nobody finds zeros where pages are missing, until no process is left in --procs (a cgroup's cgroup.procs).\n"
    "      {\"event\":\"connection\"} {\"event\":\"fetching\"} {\"event\":\"lost\"} {\"event\":\"fetched\"} {\"event\":\"failed\",\"reason\":...}\n"
    "\n"
    "aether-native hand-over\n"
    "    Sends the connection on its descriptor 3 to the helper at the other end of its descriptor 4, and ends.\n"
    "\n"
    "aether-native features\n"
    "    What this program was built with: {\"tls\":\"3.0.17\"} (OpenSSL's version), or {\"tls\":null}: then the agents carry the pages.\n"
    "\n"
    "aether-native xattr get|set\n"
    "    get: paths on standard input, each ended by a NUL; prints INDEX NAME HEX for every extended attribute of each.\n"
    "    set: records PATH NUL NAME NUL HEX NUL on standard input. Symbolic links are not followed.\n"
    "\n"
    "aether-native dirty-rate --procs FILE [--window-ms 200]\n"
    "    How much memory the processes in FILE (a cgroup's cgroup.procs) write a second, by a look at part of it over a short window.\n"
    "      {\"event\":\"rate\",\"bytesPerSecond\":n,\"mappedBytes\":n,\"lookedAtBytes\":n,\"stoppedMs\":n,...}\n"
    "\n"
    "Errors: one line {\"error\":...} on standard error. Exit codes: 0 done, 1 failed, 2 wrong usage; shim: that of COMMAND.\n";

int features_command(int argc, char **argv) {
  parse_options("features", argc, argv, NULL, 0);
  const char *tls = tls_version();
  if (tls) say(STDOUT_FILENO, "{\"tls\":\"%s\"}", tls);
  else say(STDOUT_FILENO, "{\"tls\":null}");
  return 0;
}

int main(int argc, char **argv) {
  // A reader that is gone must not end us: what we hold or copy matters more than being heard.
  signal(SIGPIPE, SIG_IGN);
  const char *name = argc > 1 ? argv[1] : "";
  if (strcmp(name, "--version") == 0) return printf("aether-native %s\n", VERSION) < 0;
  if (strcmp(name, "--help") == 0) return fputs(help, stdout) < 0;
  if (strcmp(name, "shim") == 0) return shim_command(argc - 2, argv + 2);
  if (strcmp(name, "guard") == 0) return guard_command(argc - 2, argv + 2);
  if (strcmp(name, "mend") == 0) return mend_command(argc - 2, argv + 2);
  if (strcmp(name, "socket-sequences") == 0) return socket_sequences_command(argc - 2, argv + 2);
  if (strcmp(name, "hold") == 0) return hold_command(argc - 2, argv + 2);
  if (strcmp(name, "announce") == 0) return announce_command(argc - 2, argv + 2);
  if (strcmp(name, "pipe") == 0) return pipe_command(argc - 2, argv + 2);
  if (strcmp(name, "dirty-rate") == 0) return dirty_rate_command(argc - 2, argv + 2);
  if (strcmp(name, "launch") == 0) return launch_command(argc - 2, argv + 2);
  if (strcmp(name, "enter") == 0) return enter_command(argc - 2, argv + 2);
  if (strcmp(name, "unmount") == 0) return unmount_command(argc - 2, argv + 2);
  if (strcmp(name, "memory-source") == 0) return memory_source_command(argc - 2, argv + 2);
  if (strcmp(name, "memory-target") == 0) return memory_target_command(argc - 2, argv + 2);
  if (strcmp(name, "memory-keep") == 0) return memory_keep_command(argc - 2, argv + 2);
  if (strcmp(name, "pages-serve") == 0) return pages_serve_command(argc - 2, argv + 2);
  if (strcmp(name, "pages-fetch") == 0) return pages_fetch_command(argc - 2, argv + 2);
  if (strcmp(name, "hand-over") == 0) return hand_over_command(argc - 2, argv + 2);
  if (strcmp(name, "features") == 0) return features_command(argc - 2, argv + 2);
  if (strcmp(name, "xattr") == 0) return xattr_command(argc - 2, argv + 2);
  usage_error(*name ? "unknown command \"%s\"; see --help" : "no command; see --help%s", name);
}
