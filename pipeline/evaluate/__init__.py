"""The evaluate stage: one subject answers the items of one split, and every answer is scored and kept."""
