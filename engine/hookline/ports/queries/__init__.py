"""What a store is asked, one file for each subject."""
