"""The paper and the experiments that it leaves open."""
