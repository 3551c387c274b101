package service

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// clientGroup is the address that an anonymous caller is counted under: the caller's address, IPv6 by its /64, since
// one customer usually has a whole one.
func (s *Service) clientGroup(r *http.Request) string {
	addr, ok := clientAddr(r, s.cfg.TrustedProxies)
	if !ok {
		return "unknown"
	}
	if addr.Is6() {
		if p, err := addr.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}

// clientAddr is the peer's address, or, when the peer is a trusted proxy, the nearest address in X-Forwarded-For that is
// not one. It walks from the right, since everything left of the last trusted hop may be invented; a hop that cannot be
// read ends the walk.
func clientAddr(r *http.Request, trusted []netip.Prefix) (netip.Addr, bool) {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, false
	}
	addr := ap.Addr().Unmap()
	if len(trusted) == 0 {
		return addr, true
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !contains(trusted, addr) {
			break
		}
		next, ok := parseHop(strings.TrimSpace(hop))
		if !ok {
			break
		}
		addr = next
	}
	return addr, true
}

func parseHop(hop string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(hop); err == nil {
		return a.Unmap(), true
	}
	if ap, err := netip.ParseAddrPort(hop); err == nil {
		return ap.Addr().Unmap(), true
	}
	return netip.Addr{}, false
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}
