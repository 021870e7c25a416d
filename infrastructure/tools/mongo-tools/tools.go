//go:build tools

// Package tools keeps the pinned commands in go.mod when it is tidied.
package tools

import (
	_ "github.com/mongodb/mongo-tools/mongodump/main"
	_ "github.com/mongodb/mongo-tools/mongorestore/main"
)
