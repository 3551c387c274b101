package edge

// LocalPath and Money are tested from outside.
var (
	LocalPath = localPath
	Money     = money
)
