// The etcd server that the tests start, built as a module of our own: `go install` refuses etcd's, which replaces
// modules of its own.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
