"""What a registered model does when it is asked: photos to volumes or meshes, without Ray."""
