"""What is fitted on the finished age network: regional bone ages, the index of similar cases."""
