# The image holds one static binary, the certificates of the public authorities, and a user that is not root.
# It runs with a read-only root file system: the program writes below /data only.

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/posthaste ./cmd/posthaste && mkdir /out/data

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/posthaste /posthaste
# 65532 is nonroot. A new volume takes its owner from this folder.
COPY --from=build --chown=65532:65532 /out/data /data
ENV POSTHASTE_DATA_DIR=/data
VOLUME /data
USER 65532:65532
# Operators, recipients, monitoring: see docs/operations.md.
EXPOSE 8080 8081 8082
# There is no shell and no curl in here: the binary asks its own process.
HEALTHCHECK --interval=10s --timeout=5s --start-period=90s --retries=3 CMD ["/posthaste", "health"]
ENTRYPOINT ["/posthaste"]
CMD ["serve"]
