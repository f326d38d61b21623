package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"slices"
	"strings"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
)

const minRSABits = 2048

// key is a public key that verifies signatures, with the algorithms that it may be used with. They come from the key: a token
// can only choose among them.
type key struct {
	id         string
	algorithms []jwa.SignatureAlgorithm
	public     any // *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey
}

type keys []key

// usableKeys leaves out what cannot verify a signature: keys for encryption, secrets, short keys, kinds that are not known.
func usableKeys(set jwk.Set) keys {
	var list keys
	for i := range set.Len() {
		each, _ := set.Key(i)
		if use, ok := each.KeyUsage(); ok && use != "" && use != "sig" {
			continue
		}
		if operations, ok := each.KeyOps(); ok && !slices.Contains(operations, jwk.KeyOpVerify) {
			continue
		}
		public, err := each.PublicKey()
		if err != nil {
			continue
		}
		k := key{}
		if err := jwk.Export(public, &k.public); err != nil {
			continue
		}
		k.algorithms = algorithmsOf(k.public)
		if named, ok := each.Algorithm(); ok {
			k.algorithms = slices.DeleteFunc(k.algorithms, func(a jwa.SignatureAlgorithm) bool { return a.String() != named.String() })
		}
		if len(k.algorithms) > 0 {
			k.id, _ = each.KeyID()
			list = append(list, k)
		}
	}
	return list
}

// algorithmsOf gives the signature algorithms of a public key; nil for one that is not used here. None of them takes a secret.
func algorithmsOf(public any) []jwa.SignatureAlgorithm {
	switch public := public.(type) {
	case *rsa.PublicKey:
		if public.N.BitLen() >= minRSABits {
			return []jwa.SignatureAlgorithm{jwa.RS256(), jwa.RS384(), jwa.RS512(), jwa.PS256(), jwa.PS384(), jwa.PS512()}
		}
	case *ecdsa.PublicKey:
		switch public.Curve.Params().Name {
		case "P-256":
			return []jwa.SignatureAlgorithm{jwa.ES256()}
		case "P-384":
			return []jwa.SignatureAlgorithm{jwa.ES384()}
		case "P-521":
			return []jwa.SignatureAlgorithm{jwa.ES512()}
		}
	case ed25519.PublicKey:
		return []jwa.SignatureAlgorithm{jwa.EdDSA(), jwa.EdDSAEd25519()}
	}
	return nil
}

// signed is a JWT before its signature is verified: nothing in it can be trusted.
type signed struct {
	text      []byte
	keyID     string
	algorithm jwa.SignatureAlgorithm
}

// readHeader reads what a JWT says about its signature. Keys and addresses of keys in it are never looked at.
func readHeader(token string) (signed, error) {
	if len(token) > maxJWT {
		return signed{}, errors.New("it is too long")
	}
	if strings.Count(token, ".") == 4 {
		return signed{}, errors.New("it is encrypted, and signed ones are taken only")
	}
	if strings.Count(token, ".") != 2 {
		return signed{}, errors.New("it has not got three parts")
	}
	if strings.IndexFunc(token, func(r rune) bool { return r != '.' && !isBase64(r) }) >= 0 {
		return signed{}, errors.New("it holds other letters than base64url has")
	}
	s := signed{text: []byte(token)}
	message, err := jws.Parse(s.text, jws.WithCompact())
	if err != nil || len(message.Signatures()) != 1 {
		return signed{}, errors.New("its parts cannot be read")
	}
	header := message.Signatures()[0].ProtectedHeaders()
	if header.Has("crit") || header.Has("b64") {
		return signed{}, errors.New("its header asks for what is not supported")
	}
	if kind, ok := header.Type(); ok && kind != "" {
		kind = strings.TrimPrefix(strings.ToLower(kind), "application/")
		if kind != "jwt" && kind != "at+jwt" {
			return signed{}, errors.New("it is of another type than an access token")
		}
	}
	var ok bool
	if s.algorithm, ok = header.Algorithm(); !ok {
		return signed{}, errors.New("its header names no algorithm")
	}
	s.keyID, _ = header.KeyID()
	return s, nil
}

// isBase64 leaves out padding, and line ends, which Go's decoder skips.
func isBase64(r rune) bool {
	return r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}

var (
	errKeyUnknown = errors.New("it is signed with a key that is not known")
	errSignature  = errors.New("its signature is wrong")
)

// verify gives the payload of a JWT whose signature one of the keys made. A JWT that names no key is tried with the one that fits, if there
// is just one. Errors: errKeyUnknown, errSignature.
func (list keys) verify(s signed) ([]byte, error) {
	var fitting keys
	named := false
	for _, k := range list {
		if s.keyID != "" && k.id != s.keyID {
			continue
		}
		named = true
		if slices.Contains(k.algorithms, s.algorithm) {
			fitting = append(fitting, k)
		}
	}
	switch {
	case !named || s.keyID == "" && len(fitting) > 1:
		return nil, errKeyUnknown
	case len(fitting) == 0:
		return nil, errors.New("its algorithm is not the key's")
	}
	for _, k := range fitting {
		if payload, err := jws.Verify(s.text, jws.WithKey(s.algorithm, k.public), jws.WithCompact()); err == nil {
			return bytes.Clone(payload), nil
		}
	}
	return nil, errSignature
}
