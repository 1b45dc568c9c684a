"""Starting, deploying to and ending the AWS on this machine."""
