//go:build tools

// Package tools keeps the pinned command in go.mod when it is tidied.
package tools

import (
	_ "github.com/versity/versitygw/cmd/versitygw"
)
