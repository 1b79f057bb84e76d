#include "tls.h"

#include <errno.h>
#include <string.h>

#ifndef AETHER_TLS

const char *tls_version(void) { return NULL; }

struct tls *tls_open(int fd, int life, struct tls_identity *identity, int is_server, const char **reason) {
  (void)fd, (void)life, (void)is_server;
  explicit_bzero(identity->key, strlen(identity->key));
  *reason = "this program was built without OpenSSL";
  return NULL;
}
int tls_read(struct tls *tls, void *bytes, size_t length) { return (void)tls, (void)bytes, (void)length, errno = ENOSYS, -1; }
int tls_write(struct tls *tls, const void *bytes, size_t length) { return (void)tls, (void)bytes, (void)length, errno = ENOSYS, -1; }
int tls_flush(struct tls *tls) { return (void)tls, errno = ENOSYS, -1; }
ssize_t tls_read_some(struct tls *tls, void *bytes, size_t length) { return (void)tls, (void)bytes, (void)length, errno = ENOSYS, -1; }
ssize_t tls_write_some(struct tls *tls, const void *bytes, size_t length) { return (void)tls, (void)bytes, (void)length, errno = ENOSYS, -1; }
int tls_flush_some(struct tls *tls) { return (void)tls, errno = ENOSYS, -1; }
void tls_say_end(struct tls *tls) { (void)tls; }
void tls_be_patient(struct tls *tls) { (void)tls; }
void tls_outlive(struct tls *tls) { (void)tls; }
uint64_t tls_wire_bytes(const struct tls *tls) { return (void)tls, 0; }
double tls_link_ms(const struct tls *tls) { return (void)tls, 0; }
void tls_close(struct tls *tls) { (void)tls; }

#else

#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <linux/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

// A record carries 16 KiB at most. Many of them go to the kernel, and come from it, at once: a system call and a turn of the network stack for each would cost as much as
// enciphering. The buffers fit into a core's cache.
enum { record_bytes = 16384, direct_bytes = 4 * record_bytes, buffer_bytes = 256 << 10, handshake_ms = 10000, broken_after_ms = 30000 };
// A key of AES-GCM may protect 2^24.5 whole records (RFC 8446, section 5.5): a new one long before that.
static const uint64_t bytes_a_key = 1ull << 36;
static const unsigned char protocol[] = "\x0e" "aether-pages/1";

struct tls {
  SSL *ssl;
  BIO *bottom; // the socket's own
  int fd, life;
  double until_ms; // 0: without end
  size_t staged;
  int is_write_open; // a record could not be written whole
  uint64_t since_key;
  char stage[record_bytes];
};

const char *tls_version(void) { return OpenSSL_version(OPENSSL_VERSION_STRING); }

// OpenSSL wipes what it knows to be secret, but not what it read a key from on the way. So all that it gives back is wiped; on the way of the pages it gives back nothing.
static void *take(size_t length, const char *file, int line) {
  (void)file, (void)line;
  return malloc(length);
}

static void wipe(void *bytes, const char *file, int line) {
  (void)file, (void)line;
  if (bytes) explicit_bzero(bytes, malloc_usable_size(bytes));
  free(bytes);
}

static void *take_more(void *bytes, size_t length, const char *file, int line) {
  size_t before = bytes ? malloc_usable_size(bytes) : 0;
  void *more = malloc(length);
  if (!more) return NULL;
  if (bytes) memcpy(more, bytes, before < length ? before : length);
  wipe(bytes, file, line);
  return more;
}

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

// Until the connection may be read or written. -1 with errno: that is not to be waited for any longer.
static int await(struct tls *tls, short events) {
  for (;;) {
    struct pollfd at[2] = {{.fd = tls->fd, .events = events}, {.fd = tls->life, .events = POLLIN}};
    double left = tls->until_ms > 0 ? tls->until_ms - now_ms() : -1;
    if (tls->until_ms > 0 && left <= 0) return errno = ETIMEDOUT, -1;
    int ready = poll(at, 2, tls->until_ms > 0 ? (int)left + 1 : -1);
    if (ready < 0 && errno != EINTR) return -1;
    if (ready > 0 && at[1].revents) return errno = ECANCELED, -1;
    if (ready > 0) return 0;
  }
}

// Waits for what a call that returned `result` lacks. 0: try again; -1 with errno: it will never do.
static int settle(struct tls *tls, int result) {
  int wants = SSL_get_error(tls->ssl, result);
  if (wants != SSL_ERROR_WANT_READ && wants != SSL_ERROR_WANT_WRITE) return errno = EPIPE, -1;
  return await(tls, wants == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT);
}

// SPIFFE X509-SVID: exactly one URI, and no authority's certificate may stand for a workload. The chain, its dates and its purpose were verified in the handshake.
static int is_peer(X509 *certificate, const char *expected) {
  GENERAL_NAMES *names = certificate ? X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL) : NULL;
  int uris = 0, equal = 0;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_URI) continue;
    const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;
    uris++;
    equal += (size_t)ASN1_STRING_length(uri) == strlen(expected) && memcmp(ASN1_STRING_get0_data(uri), expected, strlen(expected)) == 0;
  }
  GENERAL_NAMES_free(names);
  return uris == 1 && equal == 1 && X509_check_ca(certificate) == 0;
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *length, const unsigned char *offered, unsigned offered_length, void *argument) {
  (void)ssl, (void)argument;
  unsigned char *chosen;
  if (SSL_select_next_proto(&chosen, length, protocol, sizeof protocol - 1, offered, offered_length) != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

// Every certificate of a PEM text; at least one.
static STACK_OF(X509) *read_certificates(const char *pem) {
  BIO *text = BIO_new_mem_buf(pem, -1);
  STACK_OF(X509) *all = sk_X509_new_null();
  for (X509 *one; all && text && (one = PEM_read_bio_X509(text, NULL, NULL, NULL));) sk_X509_push(all, one);
  BIO_free(text);
  ERR_clear_error(); // the end of the text is one
  if (sk_X509_num(all) > 0) return all;
  sk_X509_free(all);
  return NULL;
}

static SSL_CTX *make_context(const char *bundle, int is_server) {
  SSL_CTX *context = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
  STACK_OF(X509) *trusted = read_certificates(bundle);
  X509_STORE *store = X509_STORE_new();
  int is_made = context && trusted && store;
  for (int i = 0; is_made && i < sk_X509_num(trusted); i++) is_made = X509_STORE_add_cert(store, sk_X509_value(trusted, i));
  sk_X509_pop_free(trusted, X509_free);
  if (!is_made || !SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) || !SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256")) {
    X509_STORE_free(store);
    SSL_CTX_free(context);
    return NULL;
  }
  SSL_CTX_set_cert_store(context, store);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
  // No resumption: a resumed session would carry an identity past its rotation.
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (is_server) SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
  else if (SSL_CTX_set_alpn_protos(context, protocol, sizeof protocol - 1) != 0) return SSL_CTX_free(context), NULL;
  return context;
}

// The key stays in this connection alone, not in the context, so that it can be let go after the handshake.
static int show_identity(SSL *ssl, struct tls_identity *identity) {
  STACK_OF(X509) *chain = read_certificates(identity->chain);
  BIO *text = BIO_new_mem_buf(identity->key, -1);
  EVP_PKEY *key = text ? PEM_read_bio_PrivateKey(text, NULL, NULL, NULL) : NULL;
  BIO_free(text);
  X509 *leaf = sk_X509_shift(chain);
  int is_done = leaf && key && SSL_use_cert_and_key(ssl, leaf, key, chain, 1) == 1;
  X509_free(leaf);
  EVP_PKEY_free(key);
  sk_X509_pop_free(chain, X509_free);
  return is_done;
}

static BIO *buffered(BIO *bottom) {
  BIO *buffer = BIO_new(BIO_f_buffer());
  if (!buffer || !BIO_set_buffer_size(buffer, buffer_bytes)) return BIO_free(buffer), NULL;
  return BIO_push(buffer, bottom);
}

static void free_tls(struct tls *tls) {
  if (tls->ssl) SSL_free(tls->ssl);
  OPENSSL_cleanse(tls, sizeof *tls);
  free(tls);
}

static struct tls *refuse(struct tls *tls, const char **reason, const char *what) {
  static char text[256];
  char said[160] = "";
  unsigned long error = ERR_peek_last_error();
  long verified = tls->ssl ? SSL_get_verify_result(tls->ssl) : X509_V_OK;
  if (verified != X509_V_OK) snprintf(said, sizeof said, ": %s", X509_verify_cert_error_string(verified));
  else if (error && ERR_reason_error_string(error)) snprintf(said, sizeof said, ": %s", ERR_reason_error_string(error));
  snprintf(text, sizeof text, "%s%s", what, said);
  *reason = text;
  ERR_clear_error();
  free_tls(tls);
  return NULL;
}

struct tls *tls_open(int fd, int life, struct tls_identity *identity, int is_server, const char **reason) {
  static const struct rlimit no_core = {0, 0};
  CRYPTO_set_mem_functions(take, take_more, wipe); // refused the second time, when it is done already
  OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL); // nothing of this machine's files says what we do
  setrlimit(RLIMIT_CORE, &no_core);
  struct tls *tls = calloc(1, sizeof *tls);
  if (!tls) return *reason = "no memory", NULL;
  tls->fd = fd;
  tls->life = life;
  SSL_CTX *context = make_context(identity->bundle, is_server);
  tls->ssl = context ? SSL_new(context) : NULL;
  SSL_CTX_free(context);
  int is_shown = tls->ssl && show_identity(tls->ssl, identity);
  OPENSSL_cleanse(identity->key, strlen(identity->key));
  if (!is_shown) return refuse(tls, reason, "this node's certificate, its key or the trust bundle cannot be used");
  int on = 1, broken_ms = broken_after_ms;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &broken_ms, sizeof broken_ms);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  tls->bottom = BIO_new_socket(fd, BIO_NOCLOSE);
  if (!tls->bottom || !BIO_up_ref(tls->bottom)) return refuse(tls, reason, "no memory");
  BIO *in = buffered(tls->bottom), *out = buffered(tls->bottom);
  if (!in || !out) return refuse(tls, reason, "no memory");
  SSL_set_bio(tls->ssl, in, out);
  tls->until_ms = now_ms() + handshake_ms;
  ERR_clear_error(); // SSL_get_error takes an old one for one of the handshake's
  for (int result; (result = is_server ? SSL_accept(tls->ssl) : SSL_connect(tls->ssl)) != 1;)
    if (settle(tls, result) < 0) return refuse(tls, reason, errno == ETIMEDOUT ? "the peer did not finish the handshake" : "the handshake failed");
  const unsigned char *chosen = NULL;
  unsigned length = 0;
  SSL_get0_alpn_selected(tls->ssl, &chosen, &length);
  X509 *certificate = SSL_get1_peer_certificate(tls->ssl);
  int is_right = SSL_get_verify_result(tls->ssl) == X509_V_OK && is_peer(certificate, identity->peer) && length == sizeof protocol - 2 && memcmp(chosen, protocol + 1, length) == 0;
  X509_free(certificate);
  if (!is_right) return refuse(tls, reason, "the peer is not the node of this move");
  SSL_certs_clear(tls->ssl); // the key with them: nothing more is signed
  return tls;
}

int tls_read(struct tls *tls, void *bytes, size_t length) {
  for (char *at = bytes; length > 0;) {
    size_t got;
    int result = SSL_read_ex(tls->ssl, at, length, &got);
    if (result != 1 && settle(tls, result) < 0) return -1;
    if (result != 1) continue;
    at += got;
    length -= got;
  }
  return 0;
}

static int put(struct tls *tls, const char *bytes, size_t length) {
  if (tls->since_key > bytes_a_key) {
    if (SSL_key_update(tls->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1) return errno = EPROTO, -1;
    tls->since_key = 0;
  }
  tls->since_key += length;
  while (length > 0) {
    size_t put_bytes;
    int result = SSL_write_ex(tls->ssl, bytes, length, &put_bytes);
    if (result != 1 && settle(tls, result) < 0) return -1;
    if (result != 1) continue;
    bytes += put_bytes;
    length -= put_bytes;
  }
  return 0;
}

static int put_stage(struct tls *tls) {
  size_t staged = tls->staged;
  tls->staged = 0;
  return put(tls, tls->stage, staged);
}

// Small things are gathered into whole records; large ones are enciphered from where they lie.
int tls_write(struct tls *tls, const void *bytes, size_t length) {
  for (const char *at = bytes; length > 0;) {
    if (length >= direct_bytes) {
      if (tls->staged > 0 && put_stage(tls) < 0) return -1;
      if (put(tls, at, length) < 0) return -1;
      return 0;
    }
    size_t now = record_bytes - tls->staged < length ? record_bytes - tls->staged : length;
    memcpy(tls->stage + tls->staged, at, now);
    tls->staged += now;
    at += now;
    length -= now;
    if (tls->staged == record_bytes && put_stage(tls) < 0) return -1;
  }
  return 0;
}

int tls_flush(struct tls *tls) {
  if (tls->staged > 0 && put_stage(tls) < 0) return -1;
  BIO *out = SSL_get_wbio(tls->ssl);
  while (BIO_flush(out) <= 0) {
    if (!BIO_should_retry(out)) return errno = EPIPE, -1;
    if (await(tls, POLLOUT) < 0) return -1;
  }
  return 0;
}

static int cannot_yet(struct tls *tls, int result) {
  int wants = SSL_get_error(tls->ssl, result);
  return wants == SSL_ERROR_WANT_READ || wants == SSL_ERROR_WANT_WRITE;
}

ssize_t tls_read_some(struct tls *tls, void *bytes, size_t length) {
  size_t got;
  int result = SSL_read_ex(tls->ssl, bytes, length, &got);
  if (result == 1) return (ssize_t)got;
  if (SSL_get_error(tls->ssl, result) == SSL_ERROR_ZERO_RETURN) return 0;
  return errno = cannot_yet(tls, result) ? EAGAIN : EPIPE, -1;
}

ssize_t tls_write_some(struct tls *tls, const void *bytes, size_t length) {
  // Not while a record waits to be written again: the new key would be for the next one.
  if (tls->since_key > bytes_a_key && !tls->is_write_open) {
    if (SSL_key_update(tls->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1) return errno = EPROTO, -1;
    tls->since_key = 0;
  }
  size_t put_bytes;
  int result = SSL_write_ex(tls->ssl, bytes, length, &put_bytes);
  tls->is_write_open = result != 1;
  if (result != 1) return errno = cannot_yet(tls, result) ? EAGAIN : EPIPE, -1;
  tls->since_key += put_bytes;
  return (ssize_t)put_bytes;
}

int tls_flush_some(struct tls *tls) {
  BIO *out = SSL_get_wbio(tls->ssl);
  if (BIO_flush(out) > 0) return 0;
  return errno = BIO_should_retry(out) ? EAGAIN : EPIPE, -1;
}

void tls_say_end(struct tls *tls) {
  SSL_shutdown(tls->ssl);
  (void)BIO_flush(SSL_get_wbio(tls->ssl));
}

void tls_be_patient(struct tls *tls) { tls->until_ms = 0; }

void tls_outlive(struct tls *tls) { tls->life = -1; }

uint64_t tls_wire_bytes(const struct tls *tls) { return BIO_number_written(tls->bottom); }

double tls_link_ms(const struct tls *tls) {
  struct tcp_info about = {0};
  socklen_t length = sizeof about;
  if (getsockopt(tls->fd, IPPROTO_TCP, TCP_INFO, &about, &length) < 0) return 0;
  double others = (double)about.tcpi_rwnd_limited + (double)about.tcpi_sndbuf_limited;
  return (double)about.tcpi_busy_time > others ? ((double)about.tcpi_busy_time - others) / 1e3 : 0;
}

void tls_close(struct tls *tls) {
  int fd = tls->fd;
  SSL_shutdown(tls->ssl); // one try: a peer that has all its frames needs no goodbye
  (void)BIO_flush(SSL_get_wbio(tls->ssl));
  free_tls(tls);
  close(fd);
}

#endif
