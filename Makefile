# Chores. The README's two commands need none of this.
.DEFAULT_GOAL := help
.PHONY: help demo test race bench soak lint golden

help: ## list the chores
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

demo: ## fill an empty database and send a sample newsletter into the outbox
	go run ./cmd/posthaste serve --demo

test: ## run the tests
	go test ./...

race: ## run the tests as the checks do: race detector, any order, nothing skipped
	POSTHASTE_TEST_STRICT=1 go test ./... -race -shuffle=on

bench: ## measure importing and sending, in both modes
	go test ./cmd/posthaste -run '^$$' -bench . -benchtime 1x

soak: ## kill every part and cut every link while it sends, 105 times; takes half an hour
	go test ./cmd/posthaste -tags soak -run TestSoak -timeout 3h -v

lint: ## vet and lint
	go vet ./...
	go tool -modfile=.ci/lint.mod golangci-lint run

golden: ## write the golden files anew; read the difference before you commit it
	go test ./templates/... ./mailer/message -update
