/* wire.h - the protocol between agents: encoding and decoding, no I/O.
 *
 * docs/protocol.md is the specification. Integers are big endian. A connection starts with a
 * handshake of three fixed messages in which both ends prove that they know the run's key; then
 * both sides send frames: a header of PBC_FRAME_HEADER bytes and `length` bytes of payload.
 */
#ifndef PBC_WIRE_H
#define PBC_WIRE_H

#include "bundle.h"
#include "error.h"

#include <stddef.h>
#include <stdint.h>

#define PBC_WIRE_VERSION 3

#define PBC_KEY_BYTES    32
#define PBC_NONCE_BYTES  32
#define PBC_MAC_BYTES    32 /* HMAC-SHA-256, RFC 2104 and RFC 6234 */
#define PBC_DIGEST_BYTES 32 /* BLAKE2b-256, RFC 7693 */

#define PBC_TAG_BYTES    16
#define PBC_FRAME_HEADER (16 + PBC_TAG_BYTES)
#define PBC_CHUNK_BYTES  (64u << 10) /* largest payload of a DATA frame */
#define PBC_SMALL_MAX    8192        /* largest payload of any other frame */
#define PBC_NODE_MAX     256         /* bytes of a node's name, NUL included (as in Slurm) */

enum pbc_frame_type {
    PBC_FRAME_PING = 1, /* both ways; no payload */
    /* parent to child, relayed */
    PBC_FRAME_CHECK = 2,  /* the set that this run is about */
    PBC_FRAME_BEGIN = 3,  /* a bundle starts */
    PBC_FRAME_DATA = 4,   /* bytes of the archive as it was read; aux = offset */
    PBC_FRAME_END = 5,    /* the bundle's digest and its proof */
    PBC_FRAME_DONE = 6,   /* all bundles are sent; no payload */
    PBC_FRAME_COMMIT = 7, /* every node is ready: publish; no payload */
    PBC_FRAME_ABORT = 8,  /* the run failed elsewhere; payload as FAILED */
    PBC_FRAME_LEAF = 9,   /* pass the stream on to nobody: they get it from me, at this address */
    PBC_FRAME_MOVE = 10,  /* take the stream from that node, of rank `aux`, from here on */
    /* child to parent, summed up on the way */
    PBC_FRAME_HAVE = 32,
    PBC_FRAME_PROGRESS = 33, /* aux = nodes of the subtree that have unpacked everything */
    PBC_FRAME_READY = 34,
    PBC_FRAME_COMMITTED = 35, /* aux = nodes of the subtree */
    PBC_FRAME_FAILED = 36,
    /* from who gets the stream to who sends it */
    PBC_FRAME_LEFT = 37,  /* answer to LEAF: aux = nodes that were told to MOVE */
    PBC_FRAME_CLAIM = 38, /* first on a new connection: aux = frames of the lane that it has */
};

struct pbc_frame {
    uint8_t type;
    uint8_t bundle; /* index in the set, for BEGIN, DATA and END; else 0 */
    uint32_t length;
    uint64_t aux;
    uint8_t tag[PBC_TAG_BYTES]; /* of DATA (tag.h); else zeros */
};

/* Encode a header. */
void pbc_frame_encode(const struct pbc_frame *f, uint8_t out[PBC_FRAME_HEADER]);

/* Decode and check a header: a known type that may come from this side (`from_parent`), zero in
 * the reserved bytes and the tag of what has none, a length that the type allows. -1 with
 * PBC_EXIT_PEER. */
int pbc_frame_decode(const uint8_t in[PBC_FRAME_HEADER], int from_parent, struct pbc_frame *out,
                     struct pbc_error *err);

/* --- record of the exchange ------------------------------------------------------------------
 * What each agent tells all others before there are connections (coord.h). */
#define PBC_RECORD_BYTES (4 + 1 + 16 + 2 + 1 + PBC_KEY_BYTES + PBC_NODE_MAX)

struct pbc_record {
    uint8_t family; /* 4 or 6; 0: this node has no address, or nobody to listen to */
    uint8_t address[16];
    uint16_t port;
    uint8_t arity;              /* of the tree, or PBC_TREE_TWO; the root's counts */
    uint8_t key[PBC_KEY_BYTES]; /* of this run; the root's counts, others send zeros */
    char node[PBC_NODE_MAX];
};
void pbc_record_encode(const struct pbc_record *r, uint8_t out[PBC_RECORD_BYTES]);
int pbc_record_decode(const uint8_t in[PBC_RECORD_BYTES], struct pbc_record *r,
                      struct pbc_error *err);

/* --- handshake ----------------------------------------------------------------------------- */

#define PBC_HELLO_BYTES     (8 + 4 + 4 + PBC_NONCE_BYTES) /* magic, version, rank, nonce */
#define PBC_CHALLENGE_BYTES (PBC_NONCE_BYTES + PBC_MAC_BYTES)
#define PBC_PROOF_BYTES     PBC_MAC_BYTES

struct pbc_handshake {
    uint32_t child; /* ranks */
    uint32_t parent;
    uint8_t child_nonce[PBC_NONCE_BYTES];
    uint8_t parent_nonce[PBC_NONCE_BYTES];
};

/* Child: the first message; draws the nonce. */
void pbc_hello_make(struct pbc_handshake *hs, uint8_t out[PBC_HELLO_BYTES]);
/* Parent: take it in; fills child and child_nonce. -1 for wrong magic or version. */
int pbc_hello_take(struct pbc_handshake *hs, const uint8_t in[PBC_HELLO_BYTES],
                   struct pbc_error *err);
/* Parent: the answer, which proves the key; draws the nonce. */
void pbc_challenge_make(struct pbc_handshake *hs, const uint8_t key[PBC_KEY_BYTES],
                        uint8_t out[PBC_CHALLENGE_BYTES]);
/* Child: -1 if the parent does not know the key. */
int pbc_challenge_take(struct pbc_handshake *hs, const uint8_t key[PBC_KEY_BYTES],
                       const uint8_t in[PBC_CHALLENGE_BYTES], struct pbc_error *err);
void pbc_proof_make(const struct pbc_handshake *hs, const uint8_t key[PBC_KEY_BYTES],
                    uint8_t out[PBC_PROOF_BYTES]);
int pbc_proof_take(const struct pbc_handshake *hs, const uint8_t key[PBC_KEY_BYTES],
                   const uint8_t in[PBC_PROOF_BYTES], struct pbc_error *err);

/* --- payloads -------------------------------------------------------------------------------
 * *_encode return the length, at most PBC_SMALL_MAX; *_decode return 0, or -1 with PBC_EXIT_PEER
 * for anything that *_encode would not have written. */

struct pbc_msg_check {
    char set[PBC_SET_ID_LEN + 1];
    uint32_t bundles;
    uint64_t bytes; /* of all archives */
    /* The sets that this one extends: of its first i + 1 bundles, as many as it has but one. */
    char base[PBC_BUNDLES_MAX - 1][PBC_SET_ID_LEN + 1];
};
uint32_t pbc_check_encode(const struct pbc_msg_check *m, uint8_t *out);
int pbc_check_decode(const uint8_t *in, uint32_t len, struct pbc_msg_check *m,
                     struct pbc_error *err);

struct pbc_msg_begin {
    enum pbc_format format;
    uint64_t bytes;
    char path[PBC_PATH_MAX];
};
uint32_t pbc_begin_encode(const struct pbc_msg_begin *m, uint8_t *out);
int pbc_begin_decode(const uint8_t *in, uint32_t len, struct pbc_msg_begin *m,
                     struct pbc_error *err);

/* END: bytes, digest, and a proof, HMAC(key, "pbcast end" | set | bundles | bundle | bytes |
 * digest). The digest is for the manifest, zeros where none is asked for: that the data is the
 * root's, each frame's tag says. The proof makes both ends of it the root's however many nodes have
 * passed it on, and with them what CHECK said: which set this is, and how many bundles it has. */
struct pbc_msg_end {
    uint64_t bytes;
    uint8_t digest[PBC_DIGEST_BYTES];
};
uint32_t pbc_end_encode(const struct pbc_msg_end *m, const struct pbc_msg_check *check,
                        uint8_t bundle, const uint8_t key[PBC_KEY_BYTES], uint8_t *out);
int pbc_end_decode(const uint8_t *in, uint32_t len, const struct pbc_msg_check *check,
                   uint8_t bundle, const uint8_t key[PBC_KEY_BYTES], struct pbc_msg_end *m,
                   struct pbc_error *err);

struct pbc_msg_have {
    uint32_t nodes;              /* of the subtree */
    uint32_t have;               /* of them, that have the set already */
    uint64_t free;               /* least free bytes of a store among those that have it not */
    char tightest[PBC_NODE_MAX]; /* whose store that is; "" when all have it */
    uint64_t bases; /* bit i: those that have it not have the set of the first i bundles, i > 0 */
};
uint32_t pbc_have_encode(const struct pbc_msg_have *m, uint8_t *out);
int pbc_have_decode(const uint8_t *in, uint32_t len, struct pbc_msg_have *m, struct pbc_error *err);

struct pbc_msg_ready {
    uint32_t nodes;
    uint64_t files; /* unpacked on one node */
    uint64_t bytes;
    uint64_t slowest_us;          /* longest time from the first byte to the end of unpacking */
    char slowest[PBC_NODE_MAX];   /* where */
    uint32_t slow;                /* how often a node was told LEAF */
    char slow_node[PBC_NODE_MAX]; /* one of them; "" if there is none */
};
uint32_t pbc_ready_encode(const struct pbc_msg_ready *m, uint8_t *out);
int pbc_ready_decode(const uint8_t *in, uint32_t len, struct pbc_msg_ready *m,
                     struct pbc_error *err);

/* LEAF and MOVE: where the stream is to be had, and the name of that node. */
struct pbc_msg_move {
    uint8_t family; /* as in the record */
    uint8_t address[16];
    uint16_t port;
    char node[PBC_NODE_MAX];
};
uint32_t pbc_move_encode(const struct pbc_msg_move *m, uint8_t *out);
int pbc_move_decode(const uint8_t *in, uint32_t len, struct pbc_msg_move *m, struct pbc_error *err);

/* CLAIM: who claims, and which of the trees' frames. */
struct pbc_msg_claim {
    uint8_t lane;
    char node[PBC_NODE_MAX];
};
uint32_t pbc_claim_encode(const struct pbc_msg_claim *m, uint8_t *out);
int pbc_claim_decode(const uint8_t *in, uint32_t len, struct pbc_msg_claim *m,
                     struct pbc_error *err);

/* FAILED and ABORT: an error and the node where it happened. */
struct pbc_msg_failed {
    char node[PBC_NODE_MAX];
    struct pbc_error error;
};
uint32_t pbc_failed_encode(const struct pbc_msg_failed *m, uint8_t *out);
int pbc_failed_decode(const uint8_t *in, uint32_t len, struct pbc_msg_failed *m,
                      struct pbc_error *err);

#endif
