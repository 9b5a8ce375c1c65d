// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var layouts = map[string]any{
	"metastore_previous":          abiPrevious{},
	"metastore_set":               abiSet{},
	"metastore_get":               abiGet{},
	"metastore_stat":              abiStat{},
	"metastore_delete":            abiDelete{},
	"metastore_touch":             abiTouch{},
	"metastore_flush":             abiFlush{},
	"metastore_subscribe":         abiSubscribe{},
	"metastore_unsubscribe":       abiUnsubscribe{},
	"metastore_subscribers":       abiSubscribers{},
	"metastore_key_bucket":        abiKeyBucket{},
	"metastore_list_entry":        abiListEntry{},
	"metastore_list_details":      abiListDetails{},
	"metastore_list":              abiList{},
	"metastore_info":              abiInfo{},
	"metastore_user_kind":         abiUserKind{},
	"metastore_user_info":         abiUserInfo{},
	"metastore_op":                abiOp{},
	"metastore_batch":             abiBatch{},
	"metastore_create":            abiCreate{},
	"metastore_open":              abiOpen{},
	"metastore_event":             abiEvent{},
	"metastore_owner_end":         abiOwnerEnd{},
	"metastore_queue_info":        abiQueueInfo{},
	"metastore_map_header":        abiMapHeader{},
	"metastore_map_slot":          abiMapSlot{},
	"metastore_map_shard":         abiMapShard{},
	"metastore_map_entry":         abiMapEntry{},
	"metastore_ring_consumer":     abiRingConsumer{},
	"metastore_ring_producer":     abiRingProducer{},
	"metastore_subscription_info": abiSubscriptionInfo{},
}

var (
	cStruct = regexp.MustCompile(`^struct (\w+) \{`)
	cMember = regexp.MustCompile(`(\w+)(?:\[\d+\])?(?: +__attribute__.*)?; +/\* +(\d+) +(\d+)`)
	cSize   = regexp.MustCompile(`/\* size: (\d+)`)
	upper   = regexp.MustCompile(`[A-Z]`)
)

// cName is the name in the header of a member.
func cName(name string) string {
	if name == "typ" {
		return "type"
	}
	return strings.ToLower(upper.ReplaceAllString(name, "_$0"))
}

type extent struct{ offset, size uintptr }

// readLayout reads what pahole says of the header. The size of a structure is that of its
// member "".
func readLayout(t *testing.T, text string) map[string]map[string]extent {
	number := func(digits string) uintptr {
		n, err := strconv.ParseUint(digits, 10, 32)
		check(t, err)
		return uintptr(n)
	}
	all := make(map[string]map[string]extent)
	var members map[string]extent
	for _, line := range strings.Split(text, "\n") {
		if m := cStruct.FindStringSubmatch(line); m != nil {
			members = make(map[string]extent)
			all[m[1]] = members
		} else if m := cMember.FindStringSubmatch(line); m != nil {
			members[m[1]] = extent{number(m[2]), number(m[3])}
		} else if m := cSize.FindStringSubmatch(line); m != nil {
			members[""] = extent{0, number(m[1])}
		}
	}
	return all
}

// isReaders tells structures that only readers of mapped memory have.
func isReaders(name string) bool {
	return name == "metastore_map" || name == "metastore_map_found" || name == "metastore_map_walk"
}

// TestLayout compares the structures to those of the C header.
func TestLayout(t *testing.T) {
	name := os.Getenv("METASTORE_LAYOUT")
	if name == "" {
		t.Skip("METASTORE_LAYOUT names no output of pahole")
	}
	text, err := os.ReadFile(name)
	check(t, err)
	header := readLayout(t, string(text))
	for name := range header {
		if strings.HasPrefix(name, "metastore_") && !isReaders(name) && layouts[name] == nil {
			t.Errorf("struct %s has no counterpart", name)
		}
	}
	for name, value := range layouts {
		typ := reflect.TypeOf(value)
		if size := header[name][""].size; typ.Size() != size {
			t.Errorf("struct %s has %d bytes, not %d", name, size, typ.Size())
		}
		for i := 0; i < typ.NumField(); i++ {
			f := typ.Field(i)
			c, ok := header[name][cName(f.Name)]
			if !ok || c != (extent{f.Offset, f.Type.Size()}) {
				t.Errorf("struct %s: %s is at %v, not %v", name, f.Name, c, extent{f.Offset, f.Type.Size()})
			}
		}
	}
}
