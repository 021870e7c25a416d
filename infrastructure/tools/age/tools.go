//go:build tools

// Package tools keeps the pinned commands in go.mod when it is tidied.
package tools

import (
	_ "filippo.io/age/cmd/age"
	_ "filippo.io/age/cmd/age-keygen"
)
