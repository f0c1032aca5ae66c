echo "the release phase ran for release ${GITPAAS_RELEASE:-none}"
