"""What torch's names and rules need: dtypes and arguments, printing, devices, the random stream."""
