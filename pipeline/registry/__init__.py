"""The register stage: comparisons on the same items, the gate's decision, the lineage; one immutable version record."""
