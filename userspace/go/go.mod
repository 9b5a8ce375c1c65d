module metastore

go 1.19
